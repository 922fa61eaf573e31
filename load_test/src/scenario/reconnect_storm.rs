//! Everybody is cut off and comes back.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Everybody is cut off at once and comes back with the position of the last event it had: a proxy that restarts, a
/// network that breaks, and with `--restart` a new version of the server.
///
/// Events are published all the time. Whole means: every client is back and has everything that was published, in order,
/// without a gap and without a duplicate. The time counts from the cut, or with `--restart` from the moment at which the
/// new process takes connections.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many clients.
    #[arg(long, default_value_t = 5000)]
    readers: u32,
    /// Events a second, also while they are away.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// How often they are cut off.
    #[arg(long, default_value_t = 3)]
    cuts: u32,
    /// Stops the server (SIGTERM) and starts it again, instead of cutting connections.
    #[arg(long)]
    restart: bool,
    /// The longest that a client waits before it comes back; each waits a random part of it.
    #[arg(long, default_value_t = 0)]
    spread_ms: u64,
}

/// Without limits of history, so that whatever is lost is the server's fault.
const SETTING: Setting = Setting {
    // A restart must not make the server tell clients to stay away for long.
    tables: "[sse]\nretry = \"100ms\"\n",
    ..Setting::LOG
};

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(SETTING, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let spread = Duration::ZERO..Duration::from_millis(self.spread_ms);
        let plan = bench.plan(&Wish::new(transport).distinct().come_back(spread))?;
        bench.subscribe(&plan, self.readers, |_| 0)?;
        // Whoever has no event yet has no position either.
        bench.publish(0, 1)?;
        ensure!(bench.settle()?, "the first event did not come everywhere");
        bench.begin()?;
        let mut times = Vec::new();
        for cut in 0..self.cuts {
            bench.say(&format!("cut {} of {}", cut + 1, self.cuts));
            self.flow(bench, Duration::from_millis(500))?;
            bench.answered()?;
            let back = bench.crowd.sum(|tally| tally.subscribed) + u64::from(self.readers);
            let begin = if self.restart { restart(bench)? } else { cut_all(bench)? };
            times.push(self.whole(bench, begin, back)?);
        }
        times.sort_by(f64::total_cmp);
        let mut outcome = bench.end()?.outcome();
        if self.restart {
            // There was more than one process.
            outcome.metrics.retain(|metric| !metric.name.contains("CPU"));
        }
        outcome.metrics.insert(0, Metric::less("until whole, median", crate::report::median(times.clone()), "s"));
        outcome.metrics.insert(1, Metric::less("until whole, worst", times.last().copied().unwrap_or(0.0), "s"));
        let back = f64::from(self.readers) / crate::report::median(times);
        outcome.metrics.insert(2, Metric::more("back a second", back, "1/s"));
        bench.verdict(outcome)
    }

    /// Publishes for so long at the rate.
    fn flow(&self, bench: &mut Bench, duration: Duration) -> anyhow::Result<()> {
        bench.paced(self.rate, duration, |bench, _, at| bench.publish_at(0, 1, at))
    }

    /// Publishes on until everybody has been subscribed once more, so that there were `back` in all, and has
    /// everything; returns the seconds since `begin`.
    fn whole(&self, bench: &mut Bench, begin: Instant, back: u64) -> anyhow::Result<f64> {
        let pause = Duration::from_secs_f64(1.0 / self.rate);
        let mut next = Instant::now();
        loop {
            let live = bench.crowd.sum(|tally| tally.live);
            let come = bench.crowd.sum(|tally| tally.deliveries);
            let subscribed = bench.crowd.sum(|tally| tally.subscribed);
            if subscribed >= back && live == u64::from(self.readers) && come >= bench.expected {
                return Ok(begin.elapsed().as_secs_f64());
            }
            ensure!(
                begin.elapsed() < Duration::from_secs(120),
                "after 120 s {live} of {} are back and {come} of {} deliveries have come{}",
                self.readers,
                bench.expected,
                bench.why()
            );
            if Instant::now() >= next && bench.in_flight() == 0 {
                bench.publish(0, 1)?;
                next += pause;
            }
            bench.turn(Duration::from_millis(2))?;
        }
    }
}

fn cut_all(bench: &mut Bench) -> anyhow::Result<Instant> {
    let begin = Instant::now();
    bench.crowd.cut_all()?;
    Ok(begin)
}

/// Restarts the server, while its clients notice; returns when it was there again.
fn restart(bench: &mut Bench) -> anyhow::Result<Instant> {
    bench.target.ask_to_stop()?;
    let asked = Instant::now();
    while !bench.target.has_ended() {
        ensure!(asked.elapsed() < Duration::from_secs(30), "the server did not stop within 30 s");
        bench.turn(Duration::from_millis(5))?;
    }
    bench.target.start_again()?;
    Ok(Instant::now())
}
