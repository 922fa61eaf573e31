//! `fanfare serve`.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;
use crate::failure::Failure;
use crate::serve;

/// Run a node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare serve --dev                                 try it on this machine
  fanfare serve --config /etc/fanfare.toml
  fanfare serve --set engine.path=/var/lib/fanfare --set listeners.public.bind=0.0.0.0:80
  FANFARE__ENGINE__KIND=memory fanfare serve --dev

Stop it with SIGTERM or Ctrl-C: clients are sent away over `drain.window`; a second signal stops at once.")]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// When ready, write the addresses that were bound to this file, as JSON. Useful with port 0.
    #[arg(long, value_name = "PATH")]
    ports_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = self.config.sources().load()?;
        loaded.must_be_servable(self.config.dev)?;
        serve::Serve { config: loaded.config, dev: self.config.dev, ports_file: self.ports_file }.run()
    }
}
