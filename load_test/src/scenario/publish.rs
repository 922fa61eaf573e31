//! Publishing, without anybody who reads.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::bare::commit;
use crate::bench::Bench;
use crate::clock;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::fanfare::Setting;
use crate::window::Measured;

/// Publishing over HTTP: a backend that tells of everything that happens.
///
/// Batches of small messages with the durability `buffered`, and single messages with `committed`, many requests in flight. The second
/// stands beside what the bare disk does: records of 256 bytes, as many as are in flight with one `write` and one
/// `fdatasync`, in the same run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Messages of a batch.
    #[arg(long, default_value = "100")]
    batch: NonZeroUsize,
    /// Connections that publish batches, one request in flight on each.
    #[arg(long, default_value = "4")]
    publishers: NonZeroUsize,
    /// Connections that publish single messages, one in flight on each.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// How many topics.
    #[arg(long, default_value_t = 100)]
    topics: u32,
    /// How long each way is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const COMMITTED: Setting =
    Setting { topics: "durability = \"committed\"\nhistory = { max_events = 0 }", ..Setting::LOG };

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = ground.each_without_readers(Setting::LOG, 3, |bench| {
            let batch = self.batch.get().min(bench.batch_max()?);
            let measured = self.measure(bench, self.publishers.get(), batch)?;
            let name = format!("batches of {batch}");
            bench.verdict(Outcome { metrics: figures(&name, &measured), ..Outcome::default() })
        })?;
        let single = ground.each_without_readers(COMMITTED, 3, |bench| {
            let before = commit::rate(self.in_flight, Duration::from_secs(1))?;
            let measured = self.measure(bench, self.in_flight, 1)?;
            let bare = f64::midpoint(before, commit::rate(self.in_flight, Duration::from_secs(1))?);
            let name = format!("single, {} in flight", self.in_flight);
            let mut metrics = figures(&name, &measured);
            metrics.push(Metric::fact("bare group commit", bare, "records/s"));
            metrics.push(Metric::more("single over bare", measured.published / measured.seconds / bare, ""));
            bench.verdict(Outcome { metrics, ..Outcome::default() })
        })?;
        for outcome in single {
            match outcomes.iter_mut().find(|known| known.target == outcome.target) {
                Some(known) => known.metrics.extend(outcome.metrics),
                None => outcomes.push(outcome),
            }
        }
        Ok(outcomes)
    }

    fn measure(&self, bench: &mut Bench, callers: usize, batch: usize) -> anyhow::Result<Measured> {
        bench.callers(callers);
        self.publish(bench, callers, batch, Duration::from_secs(1))?;
        bench.begin()?;
        self.publish(bench, callers, batch, Duration::from_secs(self.seconds))?;
        bench.end()
    }

    fn publish(&self, bench: &mut Bench, callers: usize, batch: usize, duration: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut topic = 0;
        while begin.elapsed() < duration {
            for caller in 0..callers {
                if bench.crowd.local.in_flight(caller) == 0 {
                    bench.publish_over(caller, topic, batch, clock::now())?;
                    topic = (topic + 1) % self.topics;
                }
            }
            bench.turn(Duration::from_millis(1))?;
        }
        bench.answered()
    }
}

fn figures(name: &str, measured: &Measured) -> Vec<Metric> {
    let rate = measured.published / measured.seconds;
    let acknowledged = |percentile| measured.acknowledge.value_at_percentile(percentile) as f64 / 1e3;
    let mut metrics = vec![
        Metric::more(name, rate, "messages/s"),
        Metric::less(&format!("{name}: acknowledged, p50"), acknowledged(50.0), "ms"),
        Metric::less(&format!("{name}: acknowledged, p99"), acknowledged(99.0), "ms"),
    ];
    if let Some(cpu) = measured.cpu {
        metrics.push(Metric::more(&format!("{name}: per CPU-second"), measured.published / cpu, "messages/s"));
    }
    metrics
}
