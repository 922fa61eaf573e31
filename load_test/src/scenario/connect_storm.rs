//! Connections that come and go as fast as the server takes them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;

/// Connects as fast as the server takes them: a page that goes viral, a release that millions of apps open at once.
///
/// Each connection is a user of its own with a token of its own, counts when it is subscribed, stays for as long as
/// `--hold` newer ones take, and leaves. `--under-way` (256) are on their way at any time.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections that stay, the oldest leaving for each that comes.
    #[arg(long, default_value_t = 1000)]
    hold: u32,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 3, |bench, transport| {
            let plan = bench.plan(&Wish::new(transport).distinct().any_first())?;
            crate::machine::expect_open_files(u64::from(self.hold) * 2 + 1024)?;
            let mut open: VecDeque<u32> = VecDeque::new();
            bench.crowd.take(|tally| &mut tally.connect)?;
            bench.begin()?;
            let begin = Instant::now();
            let duration = Duration::from_secs(self.seconds);
            while begin.elapsed() < duration {
                let subscribed = bench.crowd.sum(|tally| tally.subscribed);
                let failed = bench.crowd.sum(|tally| tally.refused);
                // As many are ordered as have come, and some ahead.
                while (open.len() as u64) < subscribed.min(u64::from(self.hold)) + failed + 512 {
                    open.push_back(bench.crowd.dial(&plan, 0)?);
                }
                let live = bench.crowd.sum(|tally| tally.live);
                for _ in u64::from(self.hold)..live {
                    if let Some(oldest) = open.pop_front() {
                        bench.crowd.order(oldest, crate::engine::swarm::Order::Close(oldest))?;
                    }
                }
                bench.turn(Duration::from_millis(1))?;
            }
            let seconds = begin.elapsed().as_secs_f64();
            let measured = bench.end()?;
            let connected = bench.crowd.sum(|tally| tally.subscribed) as f64;
            let connect = bench.crowd.take(|tally| &mut tally.connect)?;
            let mut metrics = vec![
                Metric::more("connects a second", connected / seconds, "1/s"),
                Metric::less("connecting, p50", connect.value_at_percentile(50.0) as f64 / 1e3, "ms"),
                Metric::less("connecting, p99", connect.value_at_percentile(99.0) as f64 / 1e3, "ms"),
                Metric::less("refused or lost", bench.crowd.sum(|tally| tally.refused + tally.lost) as f64, ""),
            ];
            if let Some(cpu) = measured.cpu {
                metrics.push(Metric::more("connects per CPU-second", connected / cpu, "1/s"));
            }
            bench.verdict(Outcome { metrics, timeline: measured.timeline, ..Outcome::default() })
        })
    }
}
