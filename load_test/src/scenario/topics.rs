//! Many topics with one reader each.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::bare;
use crate::bench::Bench;
use crate::engine::plan::Several;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;
use crate::window::Measured;

/// Many topics with one reader each: an inbox, an order, a ride that one person follows.
///
/// Publishes single events over HTTP, a topic after the other, with a few requests in flight, and tells how many
/// publish→deliver the server does in a second of processor time. In the same run, when those readers have gone, a bare
/// server does the least there is: it parses one HTTP request, answers it, and does one `write(2)` to the reader. With
/// several numbers of topics the same is measured for each, of both, to show that an event does not cost more where there
/// are more, and how much of the difference is the system's.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many topics; several, ascending, to compare the cost of an event.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000])]
    topics: Vec<u32>,
    /// Topics of one connection, where there are more topics than a machine can have connections.
    #[arg(long, default_value_t = 1)]
    per_connection: u32,
    /// How many events are published for each number of topics.
    #[arg(long, default_value_t = 50_000)]
    events: u32,
    /// Connections that publish, one request in flight on each.
    #[arg(long, default_value_t = 16)]
    publishers: u32,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        self.check()?;
        ground.each(Setting::LIVE, ground.transports(), 3, |bench, transport| self.measure(ground, bench, transport))
    }

    fn check(&self) -> anyhow::Result<()> {
        let each = self.per_connection;
        ensure!(each > 0, "--per-connection must be at least 1");
        ensure!(self.publishers > 0, "--publishers must be at least 1");
        ensure!(self.topics.is_sorted_by(|a, b| a < b), "--topics must be ascending");
        let whole = self.topics.iter().all(|topics| *topics > 0 && topics % each == 0);
        ensure!(whole, "each number of --topics must be at least 1 and a multiple of --per-connection {each}");
        Ok(())
    }

    fn measure(&self, ground: &Ground, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let ours = self.grow(bench, transport)?;
        let event_bytes = (ours.last.bytes / ours.last.deliveries).round();
        let mut metrics = self.costs("", &ours.costs);
        let per_cpu_second = ours.last.per_cpu_second();
        let mut outcome = bench.verdict(ours.last.outcome())?;
        // Both crowds together could be more than this process may have open.
        bench.leave()?;

        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of one event")]
        let target = bare::server::start(ground, transport, event_bytes as usize, true)?;
        let mut bare = ground.bench(target)?;
        let floor = self.grow(&mut bare, transport)?;
        bare.verdict(Outcome::default())?;
        metrics.extend(self.costs("bare server: ", &floor.costs));
        if let (Some(ours), Some(bare)) = (per_cpu_second, floor.last.per_cpu_second()) {
            metrics.push(Metric::fact("bare server per CPU-second", bare, "1/s"));
            metrics.push(Metric::more("per CPU-second over bare", ours / bare, ""));
        }
        outcome.metrics.extend(metrics);
        Ok(outcome)
    }

    /// Measures with the first number of topics, adds readers up to the next, and so on.
    fn grow(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Growth> {
        bench.callers(self.publishers as usize);
        let mut costs = Vec::new();
        let mut held = 0;
        let mut last = None;
        for topics in &self.topics {
            let readers = (topics - held) / self.per_connection;
            // The topics of a reader are far apart, so that events which follow each other go to different readers.
            let several = Several { count: self.per_connection, apart: readers };
            let plan = bench.plan(&Wish::new(transport).of(several))?;
            bench.subscribe(&plan, readers, |n| held + n)?;
            held = *topics;
            bench.say(&format!("{topics} topics"));
            let measured = self.publish(bench, held)?;
            costs.extend(measured.cpu.map(|cpu| cpu * 1e6 / measured.deliveries));
            last = Some(measured);
        }
        Ok(Growth { costs, last: last.context("--topics names no number")? })
    }

    /// What an event costs with each number of topics, and how much more with the most than with the fewest.
    fn costs(&self, whose: &str, costs: &[f64]) -> Vec<Metric> {
        let named = self.topics.iter().zip(costs);
        let mut metrics: Vec<Metric> = named
            .map(|(topics, cost)| Metric::less(&format!("{whose}CPU of an event, {topics} topics"), *cost, "µs"))
            .collect();
        if let (Some(first), Some(last), 2..) = (costs.first(), costs.last(), costs.len()) {
            metrics.push(Metric::less(&format!("{whose}CPU of an event, most topics over fewest"), last / first, ""));
        }
        metrics
    }

    fn publish(&self, bench: &mut Bench, topics: u32) -> anyhow::Result<Measured> {
        // Once over all topics, so that what is made for the first event of each is made.
        self.rounds(bench, topics, topics)?;
        bench.begin()?;
        self.rounds(bench, topics, self.events)?;
        bench.end()
    }

    fn rounds(&self, bench: &mut Bench, topics: u32, events: u32) -> anyhow::Result<()> {
        // Each connection has topics of its own, the nth of every so many, so that those are in order.
        let publishers = self.publishers.min(topics.max(1));
        let mut next: Vec<u32> = (0..publishers).collect();
        let mut left = events;
        while left > 0 {
            for (caller, topic) in (0..).zip(&mut next) {
                if left > 0 && bench.crowd.local.in_flight(caller) == 0 {
                    bench.publish_over(caller, *topic, 1, crate::clock::now())?;
                    *topic += publishers;
                    if *topic >= topics {
                        *topic %= publishers;
                    }
                    left -= 1;
                }
            }
            bench.turn(Duration::from_millis(1))?;
        }
        bench.settle()?;
        bench.answered()
    }
}

/// What was measured while topics were added.
struct Growth {
    /// Microseconds on processors of an event, for each number of topics; empty if the server cannot be seen.
    costs: Vec<f64>,
    /// With all topics.
    last: Measured,
}
