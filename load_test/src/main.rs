//! Load for Fanfare and its peers: holds very many readers from one core, publishes on a fixed schedule, verifies every
//! event that arrives, and tells what it cost. `docs/load-testing.md` is the manual.

mod advice;
mod bare;
mod bench;
mod clock;
mod engine;
mod ground;
mod machine;
mod publisher;
mod report;
mod scenario;
mod stamp;
mod target;
mod transport;
mod verify;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use ground::{Common, Ground};
use report::{Report, compare, plot, print, summary, svg, table};
use scenario::Scenario;

/// Load for Fanfare and its peers: verifies while it measures.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a scenario; `fanfare-load list` tells which there are.
    Run {
        #[command(flatten)]
        common: Box<Common>,
        #[command(subcommand)]
        scenario: Scenario,
    },
    /// Compares two reports that `--json` wrote.
    Compare {
        /// The earlier one.
        a: PathBuf,
        /// The later one.
        b: PathBuf,
    },
    /// Says of each figure that `dev/measure` has measured whether it is reached.
    Summary {
        /// Where its reports are.
        #[arg(default_value = "target/measure")]
        folder: PathBuf,
    },
    /// Tells what each scenario models.
    List,
    #[command(hide = true)]
    Bare(bare::server::Options),
    /// Publishes to a NATS server as fast as it acknowledges: what engines are measured against.
    BareNats(bare::nats::Options),
}

/// The exit code of a run that came to no result; 1 is that of a result that is not good.
const NO_RESULT: u8 = 2;

fn main() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            print::error(&advice::sentence(&error));
            ExitCode::from(NO_RESULT)
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run { common, scenario } => run(*common, &scenario),
        Command::Compare { a, b } => {
            for text in compare::lines(&Report::read(&a)?, &Report::read(&b)?) {
                print::line(&text);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Summary { folder } => {
            let summary = summary::of(&folder)?;
            summary.lines.iter().for_each(|text| print::line(text));
            Ok(if summary.is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::BareNats(options) => {
            print::line(&format!("{:.0}", options.rate()?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Bare(options) => {
            bare::server::serve(&options)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(common: Common, scenario: &Scenario) -> anyhow::Result<ExitCode> {
    machine::raise_open_files();
    let (json, chart) = (common.json.clone(), common.svg.clone());
    let cores = machine::cores();
    let ground = Ground::new(common)?;
    let played = scenario.run(&ground);
    ground.finish();
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: scenario.name().to_owned(),
        command: std::env::args().collect(),
        ended_at: clock::unix_seconds(),
        cores,
        outcomes: played?,
    };
    plot::print(&report);
    table::print(&report);
    json.map_or(Ok(()), |path| report.write(&path))?;
    chart.map_or(Ok(()), |path| svg::write(&report, &path))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The scenarios with their documentation, as the command line has it.
fn list() {
    let command = Arguments::command();
    let run = command.find_subcommand("run");
    for scenario in run.into_iter().flat_map(clap::Command::get_subcommands) {
        print::line(scenario.get_name());
        let about = scenario.get_long_about().or_else(|| scenario.get_about());
        for text in about.map(ToString::to_string).unwrap_or_default().lines() {
            print::line(&format!("    {text}"));
        }
        print::line("");
    }
}
