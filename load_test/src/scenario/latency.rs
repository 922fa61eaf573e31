//! How long an event takes, at half of what the server can do.

use std::time::Duration;

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;
use crate::window::Measured;

/// How long an event takes from its publisher to its readers, at half of what the server can do.
///
/// First the saturating rate is sought in steps: the highest at which no backlog grows. Then events are published at half of
/// it, on a schedule that waits for nobody, so that a pause of the server counts with its whole length for every event
/// that should have been sent meanwhile (no coordinated omission).
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers of the one topic.
    #[arg(long, default_value_t = 5000)]
    readers: u32,
    /// How long it is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events a second, instead of half of the saturating rate.
    #[arg(long)]
    rate: Option<f64>,
}

/// How long each step is tried.
const STEP: Duration = Duration::from_secs(2);
/// A rate saturates the server if it is this far behind at the end of a step.
const BEHIND: Duration = Duration::from_millis(250);

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let plan = bench.plan(&Wish::new(transport))?;
        bench.subscribe(&plan, self.readers, |_| 0)?;
        let (saturating, rate) = match self.rate {
            Some(rate) => (None, rate),
            None => saturating(bench, self.readers).map(|rate| (Some(rate), rate / 2.0))?,
        };
        let measured = at(bench, rate, Duration::from_secs(self.seconds))?;
        let mut outcome = measured.outcome();
        if let Some(saturating) = saturating {
            let deliveries = saturating * f64::from(self.readers);
            outcome.metrics.insert(0, Metric::more("saturating rate", deliveries, "deliveries/s"));
        }
        outcome.metrics.insert(0, Metric::fact("events a second", rate, "1/s"));
        bench.verdict(outcome)
    }
}

/// Publishes to topic 0 at a rate for so long, and measures.
pub(super) fn at(bench: &mut Bench, rate: f64, duration: Duration) -> anyhow::Result<Measured> {
    bench.say(&format!("{rate:.0} events/s"));
    bench.begin()?;
    bench.paced(rate, duration, |bench, _, at| bench.publish_at(0, 1, at))?;
    bench.settle()?;
    bench.answered()?;
    bench.end()
}

/// The highest rate of events, to a tenth, with which so many readers of topic 0 keep up.
pub(super) fn saturating(bench: &mut Bench, readers: u32) -> anyhow::Result<f64> {
    let (mut good, mut bad) = (1.0, None);
    let mut rate = 4.0;
    while bad.is_none_or(|bad| bad / good > 1.1) {
        bench.say(&format!("do the readers keep up with {rate:.0} events/s?"));
        if keeps_up(bench, rate, readers)? {
            good = rate;
            rate = bad.map_or(rate * 2.0, |bad: f64| f64::midpoint(good, bad));
        } else {
            bad = Some(rate);
            rate = f64::midpoint(good, rate);
        }
        if rate > 1e6 {
            break;
        }
    }
    Ok(good)
}

fn keeps_up(bench: &mut Bench, rate: f64, readers: u32) -> anyhow::Result<bool> {
    // Tried no longer than until it is clear: what is published meanwhile must all be delivered before the next step.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "events of a quarter of a second")]
    let events = (rate * BEHIND.as_secs_f64()).ceil() as u64 + 1;
    let behind = events * u64::from(readers);
    let gaps = bench.crowd.sum(|tally| tally.told_gaps);
    let go_on = |bench: &Bench| bench.backlog() <= behind && bench.crowd.sum(|tally| tally.told_gaps) == gaps;
    let kept_up = bench.paced_while(rate, STEP, go_on, |bench, _, at| bench.publish_at(0, 1, at))?;
    let in_time = kept_up && bench.settles_within(BEHIND)?;
    bench.settle()?;
    bench.answered()?;
    Ok(in_time)
}
