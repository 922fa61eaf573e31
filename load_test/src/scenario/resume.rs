//! Resuming at the head of a long log against a short one.

use std::time::Duration;

use anyhow::ensure;

use super::fill;
use crate::bench::Bench;
use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Resuming at the head: a client that comes back after a second. It must not matter how much its topic remembers.
///
/// One reader each of a short and of a long log is cut off and comes back with its position, again and again. The time is from
/// the first byte of the connection to the word that it is subscribed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Events of the long log.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Events of the short log.
    #[arg(long, default_value_t = 1000)]
    short: usize,
    /// Resumes that are timed on each.
    #[arg(long, default_value_t = 200)]
    resumes: u64,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LOG, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let plan = bench.plan(&Wish::new(transport).any_first().come_back(Duration::ZERO..Duration::ZERO))?;
        let mut times = Vec::new();
        for (topic, events) in [(0, self.short), (1, self.events)] {
            bench.say(&format!("filling a log with {events} events"));
            fill(bench, topic, events)?;
            let id = bench.subscribe(&plan, 1, |_| topic)?;
            bench.publish(topic, 1)?;
            ensure!(bench.settle()?, "the reader got nothing");
            bench.crowd.take(|tally| &mut tally.connect)?;
            let before = bench.crowd.sum(|tally| tally.subscribed);
            for n in 1..=self.resumes {
                bench.crowd.order(id, Order::Cut(id))?;
                let back = bench
                    .crowd
                    .turn_until(Duration::from_secs(10), |crowd| crowd.sum(|tally| tally.subscribed) == before + n)?;
                ensure!(back, "a resume was not answered within 10 s");
            }
            let connect = bench.crowd.take(|tally| &mut tally.connect)?;
            times
                .push((connect.value_at_percentile(50.0) as f64 / 1e3, connect.value_at_percentile(99.0) as f64 / 1e3));
            // It has missed nothing, and gets nothing twice.
            bench.publish(topic, 1)?;
            bench.settle()?;
        }
        let metrics = vec![
            Metric::less("resume on the short log, p50", times[0].0, "ms"),
            Metric::less("resume on the long log, p50", times[1].0, "ms"),
            Metric::less("long over short, p50", times[1].0 / times[0].0, ""),
            Metric::less("long less short, p50", times[1].0 - times[0].0, "ms"),
            Metric::less("resume on the long log, p99", times[1].1, "ms"),
        ];
        bench.verdict(Outcome { metrics, ..Outcome::default() })
    }
}
