//! `fanfare explain`.

use clap::Args;

use crate::failure::{Code, Failure};
use crate::print;

/// Explain an error code.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare explain FF-0003
  fanfare explain            list all codes")]
pub(super) struct Explain {
    /// The code, e.g. FF-0003.
    code: Option<String>,
}

impl Explain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let Some(written) = &self.code else {
            for code in Code::ALL {
                print::line(format_args!("{}  {}", code.as_str(), code.headline()));
            }
            return Ok(());
        };
        let code = Code::find(written).ok_or_else(|| {
            let last = Code::ALL.last().map_or("", |code| code.as_str());
            Failure::new(Code::Unusable, format!("there is no code {written:?}; codes go from FF-0001 to {last}"))
        })?;
        print::text(code.page());
        Ok(())
    }
}
