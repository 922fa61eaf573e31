//! Readers that are stuck, and what the others notice of them.

use std::time::Duration;

use super::latency;
use crate::bench::Bench;
use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// One reader in a hundred is stuck: a phone in a tunnel, a laptop that was closed, an attacker.
///
/// Stuck readers stay connected and never read. The latency of all others is measured at half of the saturating rate,
/// first without and then with them.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 5000)]
    readers: u32,
    /// How many of a hundred are stuck.
    #[arg(long, default_value_t = 1.0)]
    stuck_percent: f64,
    /// How long each half is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events a second, instead of half of the saturating rate.
    #[arg(long)]
    rate: Option<f64>,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the readers")]
        let stuck = (f64::from(self.readers) * self.stuck_percent / 100.0).round() as u32;
        let plan = bench.plan(&Wish::new(transport))?;
        let duration = Duration::from_secs(self.seconds);
        bench.subscribe(&plan, self.readers - stuck, |_| 0)?;
        let rate = match self.rate {
            Some(rate) => rate,
            None => latency::saturating(bench, self.readers - stuck)? / 2.0,
        };
        let without = latency::at(bench, rate, duration)?;
        // They may get anything or nothing: nobody looks.
        let plan = bench.plan(&Wish::new(transport).any_first())?;
        let mut ids = Vec::new();
        for _ in 0..stuck {
            ids.push(bench.crowd.dial(&plan, 0)?);
        }
        bench.wait_live(u64::from(self.readers))?;
        for id in ids {
            bench.crowd.order(id, Order::Freeze(id))?;
        }
        let with = latency::at(bench, rate, duration)?;
        let percentile = |measured: &crate::window::Measured, p| measured.latency.value_at_percentile(p) as f64 / 1e3;
        let (before, after) = (percentile(&without, 99.0), percentile(&with, 99.0));
        let metrics = vec![
            Metric::fact("events a second", rate, "1/s"),
            Metric::less("p99 without stuck readers", before, "ms"),
            Metric::less("p99 with stuck readers", after, "ms"),
            Metric::less("p99 with over without", after / before, ""),
            Metric::less("p50 with over without", percentile(&with, 50.0) / percentile(&without, 50.0), ""),
        ];
        let mut outcome = bench.verdict(with.outcome())?;
        outcome.metrics.splice(0..0, metrics);
        Ok(outcome)
    }
}
