//! Hours of an ordinary load.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome, Sample, print};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Hours of an ordinary load: what a leak, a slow disk or a rare race shows itself in.
///
/// Readers on many topics, events at a fixed rate. Every minute a line is printed; at the end the trend of the server's
/// memory is told, as a straight line through the second half.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 1000)]
    readers: u32,
    /// How many topics.
    #[arg(long, default_value_t = 100)]
    topics: u32,
    /// Events a second, over all topics.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// For how long, in minutes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(SETTING, ground.transports(), 1, |bench, transport| self.measure(ground, bench, transport))
    }

    fn measure(&self, ground: &Ground, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        bench.subscribe(&bench.plan(&Wish::new(transport))?, self.readers, |n| n % self.topics)?;
        bench.begin()?;
        let mut printed = Instant::now();
        let duration = Duration::from_secs_f64(self.minutes * 60.0);
        bench.paced(self.rate, duration, |bench, n, at| {
            bench.publish_at(n % self.topics, 1, at)?;
            if printed.elapsed() >= Duration::from_secs(60) {
                printed = Instant::now();
                if let Some(sample) = bench.sample()? {
                    ground.line(&minute(&sample, bench.crowd.violations().total()));
                }
            }
            Ok(())
        })?;
        bench.settle()?;
        let mut outcome = bench.end()?.outcome();
        let trend = trend(&outcome.timeline) * 3600.0 / 1_048_576.0;
        outcome.metrics.push(Metric::less("memory grows by", trend, "MiB/h"));
        bench.verdict(outcome)
    }
}

/// A log that keeps a bounded number of events, as in production: only then can memory stand still.
const SETTING: Setting =
    Setting { topics: "durability = \"buffered\"\nhistory = { max_events = 1000 }", ..Setting::LOG };

fn minute(sample: &Sample, violations: u64) -> String {
    format!(
        "{:>6.0} min  {:>10} deliveries/s  p50 {:>9}  p99 {:>9}  {:>9}  {:>5.1} % CPU  {violations} violations",
        sample.at / 60.0,
        print::number(sample.deliveries.round()),
        print::time(sample.p50),
        print::time(sample.p99),
        print::size(sample.resident),
        sample.cpu * 100.0
    )
}

/// Bytes a second by which memory grows, over the second half of the samples (least squares).
fn trend(timeline: &[Sample]) -> f64 {
    let half = &timeline[timeline.len() / 2..];
    let count = half.len() as f64;
    let mean = |value: fn(&Sample) -> f64| half.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.at), mean(|sample| sample.resident as f64));
    let (mut up, mut across) = (0.0, 0.0);
    for sample in half {
        up += (sample.at - x) * (sample.resident as f64 - y);
        across += (sample.at - x).powi(2);
    }
    if across > 0.0 { up / across } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_seen_and_a_warm_up_is_not() {
        let sample = |at: f64, resident| Sample { at, resident, ..Sample::default() };
        let leak: Vec<Sample> = (0..100_u32).map(|n| sample(f64::from(n), u64::from(n) * 1000)).collect();
        assert!((trend(&leak) - 1000.0).abs() < 1e-6);
        let flat: Vec<Sample> = (0..100_u32).map(|n| sample(f64::from(n), u64::from(n.min(40)) * 1000)).collect();
        assert!(trend(&flat).abs() < 1e-6);
        assert!(trend(&[]).abs() < 1e-6);
    }
}
