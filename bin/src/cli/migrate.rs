//! `fanfare migrate`.

use std::path::PathBuf;

use clap::Args;
use fanfare_model::Tenant;

use crate::client;
use crate::config::Sources;
use crate::failure::Failure;
use crate::migrate;

/// Move everything that one engine keeps to another.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare migrate --from old.toml --to new.toml
  fanfare migrate --from embedded.toml --to nats.toml --renumber

Both are whole configurations; environment variables are left aside. Stop every node on either engine first: what is published
meanwhile is not moved. Epochs, offsets, times and ids stay, so that clients resume where they were. Everything is read
again and compared at the end. To do it again after a failure does no harm.")]
pub(super) struct Migrate {
    /// The configuration of the engine that has everything.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The configuration of the engine that shall have it.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Whose topics to move, besides those of the tenants that the configurations name. May be given several times.
    #[arg(long = "tenant", value_name = "NAME", value_parser = |text: &str| Tenant::new(text))]
    tenants: Vec<Tenant>,
    /// Publish the events anew if the new engine cannot take over their offsets: positions that clients hold end.
    #[arg(long)]
    renumber: bool,
}

impl Migrate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let read = |file: PathBuf| Sources { file: Some(file), ..Sources::default() }.load_file();
        let Self { from, to, tenants, renumber } = self;
        let (from, to) = (read(from)?.config, read(to)?.config);
        client::run(migrate::Migrate { from, to, tenants, renumber }.run())
    }
}
