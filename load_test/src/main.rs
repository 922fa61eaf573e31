//! Measures Fanfare against what the machine allows, as ratios within one run.
//!
//! Both sides of every ratio run on the same cores, with the same readers and the same bytes per event: first a bare
//! loop of `write(2)`, then the server. Absolute figures of a shared machine mean little; the ratio does.

mod bare;
mod fanout;
mod idle;
mod publisher;
mod readers;
mod report;
mod resume;
mod server;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures Fanfare against what the machine allows.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The server to measure; build it with `cargo build --release`.
    #[arg(long, global = true, default_value = "target/release/fanfare")]
    server: PathBuf,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// One topic, many readers: deliveries a second against a bare loop of write(2).
    Fanout(fanout::Options),
    /// Memory of connections that wait.
    Idle(idle::Options),
    /// Resuming at the head of a long log against a short one.
    Resume(resume::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.scenario {
        Scenario::Fanout(options) => fanout::run(&arguments.server, &options),
        Scenario::Idle(options) => idle::run(&arguments.server, &options),
        Scenario::Resume(options) => resume::run(&arguments.server, &options),
    }
}
