//! Connections that wait.

use std::time::Duration;

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Connections that wait: an application that is open in very many tabs and rarely hears anything.
///
/// Every reader is a user of its own with a token of its own and one subscription. Tells the memory of a connection and the
/// share of a core that holding them takes, pings included; hold them for longer than the server's ping interval. At
/// the end one event shows that all still listen.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 10_000)]
    readers: u32,
    /// How long they wait.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Each reader has a topic of its own instead of one for all.
    #[arg(long)]
    own_topics: bool,
}

/// How long the server is watched while it holds next to nothing.
const EMPTY: Duration = Duration::from_secs(5);

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let plan = bench.plan(&Wish::new(transport).distinct())?;
        // What the first few need is needed once.
        let warm = self.readers.min(100);
        let topic = |n: u32| if self.own_topics { n } else { 0 };
        bench.subscribe(&plan, warm, topic)?;
        bench.say("waiting, next to empty");
        let empty = bench.watch(EMPTY)?;
        let before = bench.target.usage().map_or(0, |usage| usage.resident);
        if self.readers > warm {
            bench.subscribe(&plan, self.readers - warm, |n| topic(warm + n))?;
        }
        bench.say("waiting");
        let full = bench.watch(Duration::from_secs(self.seconds))?;
        let mut metrics = Vec::new();
        let more = f64::from(self.readers - warm).max(1.0);
        if let (Some(least), Some(share)) = (empty.core_share(), full.core_share()) {
            let grown = full.resident_end.saturating_sub(before) as f64;
            metrics.push(Metric::less("memory of a connection", grown / more, "B"));
            metrics.push(Metric::less("server CPU while they wait", share, "% of a core"));
            metrics.push(Metric::less("server CPU, next to empty", least, "% of a core"));
            // What it does for itself does not grow with the connections.
            let many = least + (share - least).max(0.0) * 100_000.0 / more;
            metrics.push(Metric::less("server CPU, were they 100,000", many, "% of a core"));
        }
        let connect = bench.crowd.take(|tally| &mut tally.connect)?;
        metrics.push(Metric::less("connecting, p99", connect.value_at_percentile(99.0) as f64 / 1e3, "ms"));
        for topic in 0..if self.own_topics { self.readers } else { 1 } {
            bench.publish(topic, 1)?;
        }
        bench.settle()?;
        bench.answered()?;
        bench.verdict(Outcome { metrics, timeline: full.timeline, ..Outcome::default() })
    }
}
