//! `fanfare config`.

use clap::{Args, Subcommand};

use super::ConfigArgs;
use crate::config::{self, reference};
use crate::failure::{Code, Failure};
use crate::print;

/// Check or print the configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare config check --config /etc/fanfare.toml
  FANFARE__ENGINE__KIND=memory fanfare config print
  fanfare config schema > fanfare.schema.json")]
pub(super) struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say whether the configuration is right, and if not, what to change.
    Check(ConfigArgs),
    /// Print the configuration that is in force, as TOML, with secrets left out.
    Print(ConfigArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Print the reference of every key, as Markdown.
    Reference,
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Check(args) => {
                let loaded = args.sources().load()?;
                loaded.must_be_servable(args.dev)?;
                let file = loaded.file.map_or("no file".to_owned(), |file| file.display().to_string());
                print::line(format_args!("the configuration is right ({file})"));
            }
            What::Print(args) => {
                let loaded = args.sources().load()?;
                let text = toml::to_string(&loaded.config).map_err(|error| {
                    Failure::because(Code::ConfigWrong, "the configuration cannot be printed", error)
                })?;
                print::text(text);
            }
            What::Schema => print::line(format_args!("{:#}", config::json_schema())),
            What::Reference => print::text(reference::markdown()),
        }
        Ok(())
    }
}
