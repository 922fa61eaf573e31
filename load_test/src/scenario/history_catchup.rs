//! Readers that begin at the start of a long log.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::fill;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;

/// Readers that begin at the start of a long log: a new device, a projection that is built anew.
///
/// A topic is filled, then readers read all of it from the start. Tells the events a second for each second of the server's
/// processor time, and how far its memory grew: it must not depend on the length of the log.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers, at once.
    #[arg(long, default_value_t = 4)]
    readers: u32,
    /// Events of the log.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LOG, ground.transports(), 3, |bench, transport| {
            let plan = bench.plan(&Wish::new(transport).at_start())?;
            bench.say(&format!("filling the log with {} events", self.events));
            fill(bench, 0, self.events)?;
            bench.begin()?;
            let begin = Instant::now();
            let (mut resident, mut early) = (0, None);
            bench.order(&plan, self.readers, |_| 0)?;
            let all = self.events as u64 * u64::from(self.readers);
            bench.expected += all;
            let mut looked = Instant::now();
            while bench.crowd.sum(|tally| tally.deliveries) < all {
                bench.turn(Duration::from_millis(5))?;
                if looked.elapsed() > Duration::from_millis(50) {
                    looked = Instant::now();
                    let now = bench.target.usage().map_or(0, |usage| usage.resident);
                    resident = resident.max(now);
                    if bench.crowd.sum(|tally| tally.deliveries) > all / 10 {
                        early.get_or_insert(resident);
                    }
                    let refused = bench.crowd.sum(|tally| tally.refused + tally.lost);
                    ensure!(refused == 0, "{}", bench.crowd.complaint().unwrap_or_default());
                    ensure!(begin.elapsed() < Duration::from_secs(300), "the log was not read within 300 s");
                }
            }
            let measured = bench.end()?;
            let grown = resident.max(measured.resident_max).saturating_sub(measured.resident_begin);
            let mut outcome = measured.outcome();
            // What was published before cannot have been on time.
            outcome.latency = None;
            outcome.metrics.push(Metric::less("memory grew by", grown as f64 / 1_048_576.0, "MiB"));
            if let Some(early) = early {
                let later = resident.saturating_sub(early) as f64 / 1_048_576.0;
                outcome.metrics.push(Metric::less("memory grew after the first tenth", later, "MiB"));
            }
            bench.verdict(outcome)
        })
    }
}
