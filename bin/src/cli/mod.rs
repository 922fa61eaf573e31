//! The command line: one file a command.

mod completions;
mod config;
mod dev_cert;
mod explain;
mod history;
mod key;
mod migrate;
mod publish;
mod revocation;
mod serve;
mod subscribe;
mod token;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

use crate::config::Sources;
use crate::failure::Failure;
use crate::print;

/// Publish once, hear it over every protocol, resume anywhere, lose nothing.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fanfare serve --dev                       start a node on this machine to try things
  fanfare subscribe news --from start       hear a topic, from its beginning
  fanfare publish news '{\"text\":\"hi\"}'      say something
  fanfare config check                      is the configuration right?
  fanfare explain FF-0003                   what does that error mean?";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Publish(publish::Publish),
    Subscribe(subscribe::Subscribe),
    History(history::History),
    Token(token::Token),
    Key(key::Key),
    DevCert(dev_cert::DevCert),
    Config(config::Command),
    Migrate(migrate::Migrate),
    Explain(explain::Explain),
    /// Print the version.
    Version,
    Completions(completions::Completions),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file. Default: fanfare.toml in this directory, if it exists.
    #[arg(long, value_name = "FILE", env = "FANFARE_CONFIG")]
    config: Option<PathBuf>,
    /// Set one key, over the file and the environment. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Development: adds an issuer of tokens whose secret is kept in the data directory, listens on this machine
    /// only, allows every origin, and serves a demo page. Not for production.
    #[arg(long)]
    dev: bool,
}

impl ConfigArgs {
    fn sources(&self) -> Sources {
        Sources { file: self.config.clone(), set: self.set.clone(), dev: self.dev }
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Publish(publish) => publish.run(),
        Command::Subscribe(subscribe) => subscribe.run(),
        Command::History(history) => history.run(),
        Command::Token(token) => token.run(),
        Command::Key(key) => key.run(),
        Command::DevCert(dev_cert) => dev_cert.run(),
        Command::Config(command) => command.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Explain(explain) => explain.run(),
        Command::Version => {
            print::line(format_args!("fanfare {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Command::Completions(completions) => {
            completions.run();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
