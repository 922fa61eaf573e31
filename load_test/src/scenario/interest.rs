//! Many topics on one gateway, and nothing happens on them.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::engine::plan::Several;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Many topics that somebody reads and on which nothing happens: what a gateway, and an engine that it shares, pay for being
/// asked for them.
///
/// Tells how fast topics are subscribed to, the memory of each (with its share of a connection), and the processor time of waiting:
/// comparing the heads of silent topics is in it. With `--url`, `--pid` says whose memory and time that is: of the gateway,
/// or of the engine. At the end one event on each topic shows that all are heard.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many topics.
    #[arg(long, default_value_t = 100_000)]
    topics: u32,
    /// Topics of one connection.
    #[arg(long, default_value_t = 100)]
    per_connection: u32,
    /// How long they wait.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        let each = self.per_connection;
        ensure!(each > 0, "--per-connection must be at least 1");
        ensure!(self.topics / each > 1, "--topics must be at least two times --per-connection {each}");
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let connections = self.topics / self.per_connection;
        let topics = connections * self.per_connection;
        let plan = bench.plan(&Wish::new(transport).of(Several { count: self.per_connection, apart: connections }))?;
        // What the first needs is needed once.
        bench.subscribe(&plan, 1, |n| n)?;
        bench.say("waiting, next to empty");
        let empty = bench.watch(Duration::from_secs(self.seconds))?;
        let begin = Instant::now();
        bench.subscribe(&plan, connections - 1, |n| 1 + n)?;
        let took = begin.elapsed().as_secs_f64();
        bench.say("waiting");
        let full = bench.watch(Duration::from_secs(self.seconds))?;
        let more = f64::from(topics - self.per_connection);
        let mut metrics = vec![Metric::more("topics subscribed to", more / took, "1/s")];
        if let (Some(least), Some(share)) = (empty.core_share(), full.core_share()) {
            let grown = full.resident_end.saturating_sub(empty.resident_end) as f64;
            metrics.push(Metric::less("memory of a topic", grown / more, "B"));
            metrics.push(Metric::less("CPU while they wait", share, "% of a core"));
            metrics.push(Metric::less("CPU, next to empty", least, "% of a core"));
        }
        for topic in 0..topics {
            bench.publish(topic, 1)?;
            while bench.in_flight() > 16 {
                bench.turn(Duration::from_millis(1))?;
            }
        }
        bench.settle()?;
        bench.answered()?;
        bench.verdict(Outcome { metrics, timeline: full.timeline, ..Outcome::default() })
    }
}
