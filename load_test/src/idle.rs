//! Connections that wait. Models an application that is open in many tabs and rarely hears anything.

use std::path::Path;

use crate::readers::{Transport, subscribe_one};
use crate::report::line;
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many connections, each with one subscription.
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Which transports.
    #[arg(long, value_delimiter = ',', default_values = ["ws", "sse"])]
    transports: Vec<Transport>,
}

pub(crate) fn run(binary: &Path, options: &Options) -> anyhow::Result<()> {
    line(&format!("{} idle connections with one subscription each: memory of the server process", options.connections));
    for transport in &options.transports {
        let server = Server::start(binary, "memory", "")?;
        let mut open = Vec::with_capacity(options.connections);
        // What the first few need is needed once.
        for _ in 0..100 {
            open.push(subscribe_one(server.public, *transport, "idle", &server.token, None)?);
        }
        let before = server.memory()?;
        for _ in 0..options.connections {
            open.push(subscribe_one(server.public, *transport, "idle", &server.token, None)?);
        }
        let each = (server.memory()? - before) / options.connections as u64;
        line(&format!("{:<10} {each:>7} bytes each", format!("{transport:?}").to_lowercase()));
    }
    Ok(())
}
