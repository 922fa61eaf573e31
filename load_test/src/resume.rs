//! Resuming at the head of a long log. Models a client that comes back after a second: it must not matter how much
//! its topic remembers.

use std::path::Path;
use std::time::Instant;

use crate::publisher::Publisher;
use crate::readers::{MARK, Transport, subscribe_one};
use crate::report::{line, median};
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Events of the long log.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Resumes that are timed on each.
    #[arg(long, default_value_t = 200)]
    resumes: usize,
}

pub(crate) fn run(binary: &Path, options: &Options) -> anyhow::Result<()> {
    let server = Server::start(binary, "embedded", "durability = \"buffered\"\nhistory = { max_events = 0 }")?;
    let mut publisher = Publisher::connect(server.admin, &server.admin_token)?;
    let short = fill(&mut publisher, "short", 1_000)?;
    let long = fill(&mut publisher, "long", options.events)?;
    line(&format!("resume at the head, median of {} resumes, connection included", options.resumes));
    let mut medians = Vec::new();
    for (topic, position, events) in [("short", short, 1_000), ("long", long, options.events)] {
        let times = (0..options.resumes)
            .map(|_| {
                let began = Instant::now();
                subscribe_one(server.public, Transport::Sse, topic, &server.token, Some(&position))?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let middle = median(times);
        line(&format!("{events:>10} events  {middle:>8.3} ms"));
        medians.push(middle);
    }
    line(&format!("ratio {:.2}", medians[1] / medians[0]));
    Ok(())
}

/// Publishes `n` events and returns the position of the last.
fn fill(publisher: &mut Publisher, topic: &str, n: usize) -> anyhow::Result<String> {
    const BATCH: usize = 1_000;
    let one = format!(r#"{{"data":"{}"}}"#, char::from(MARK));
    let batch = format!("[{}]", vec![one; BATCH].join(","));
    let began = Instant::now();
    let mut last = Vec::new();
    for _ in 0..n / BATCH {
        last = publisher.publish(topic, &batch)?;
    }
    let rate = n as f64 / began.elapsed().as_secs_f64();
    line(&format!("published {n} to {topic} in batches of {BATCH}: {rate:.0} a second"));
    let answer: serde_json::Value = serde_json::from_slice(&last)?;
    let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(results.last().and_then(|r| r["position"].as_str()).unwrap_or_default().to_owned())
}
