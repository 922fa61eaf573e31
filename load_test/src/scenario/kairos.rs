//! The three load tests of Nexus Kairos.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Kairos' first: 10,000 clients that wait, on 1 CPU and 1 GB there.
///
/// Connects them, holds them for a while, and tells what they cost; then one event shows that all still listen.
#[derive(Debug, clap::Args)]
pub(crate) struct Idle {
    /// How many readers.
    #[arg(long, default_value_t = 10_000)]
    readers: u32,
    /// How long they wait.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Kairos' second: 5,000 readers of one topic get 60 messages.
///
/// There it took 20 s on 1 CPU, 12 s on 2 and 7 s on 4. The messages are published one by one, each when the server has
/// acknowledged the one before.
#[derive(Debug, clap::Args)]
pub(crate) struct Broadcast {
    /// How many readers.
    #[arg(long, default_value_t = 5000)]
    readers: u32,
    /// How many messages each gets.
    #[arg(long, default_value_t = 60)]
    messages: u32,
}

/// Kairos' third: 5,000 readers in four groups, each group with a topic of its own that gets 60 messages.
#[derive(Debug, clap::Args)]
pub(crate) struct Split {
    /// How many readers, in all groups together.
    #[arg(long, default_value_t = 5000)]
    readers: u32,
    /// How many groups.
    #[arg(long, default_value_t = 4)]
    groups: u32,
    /// How many messages each group gets.
    #[arg(long, default_value_t = 60)]
    messages: u32,
}

impl Idle {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| {
            let plan = bench.plan(&Wish::new(transport).distinct())?;
            bench.begin()?;
            let begin = Instant::now();
            bench.subscribe(&plan, self.readers, |_| 0)?;
            let connected = begin.elapsed().as_secs_f64();
            let end = Instant::now() + Duration::from_secs(self.seconds);
            bench.say("waiting");
            while Instant::now() < end {
                bench.turn(Duration::from_millis(100))?;
            }
            bench.publish(0, 1)?;
            bench.settle()?;
            let measured = bench.end()?;
            let each = measured.resident_end.saturating_sub(measured.resident_begin) as f64 / f64::from(self.readers);
            let mut outcome = bench.verdict(measured.outcome())?;
            outcome.metrics = vec![
                Metric::less("until all were connected", connected, "s"),
                Metric::less("memory of a connection", each, "B"),
            ];
            Ok(outcome)
        })
    }
}

impl Broadcast {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        groups(ground, self.readers, 1, self.messages)
    }
}

impl Split {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        groups(ground, self.readers, self.groups, self.messages)
    }
}

fn groups(ground: &Ground, readers: u32, groups: u32, messages: u32) -> anyhow::Result<Vec<Outcome>> {
    ground.each(Setting::LIVE, ground.transports(), 3, |bench, transport| {
        broadcast(bench, transport, readers, groups, messages)
    })
}

fn broadcast(
    bench: &mut Bench,
    transport: Transport,
    readers: u32,
    groups: u32,
    messages: u32,
) -> anyhow::Result<Outcome> {
    let plan = bench.plan(&Wish::new(transport))?;
    bench.subscribe(&plan, readers, |n| n % groups)?;
    bench.callers(usize::try_from(groups)?);
    bench.begin()?;
    let begin = Instant::now();
    for _ in 0..messages {
        for group in 0..groups {
            bench.publish(group, 1)?;
        }
        while bench.in_flight() > 0 {
            bench.turn(Duration::from_millis(1))?;
        }
    }
    bench.settle()?;
    let took = begin.elapsed().as_secs_f64();
    let mut outcome = bench.end()?.outcome();
    outcome.metrics.insert(0, Metric::less("until all had all", took, "s"));
    outcome.metrics.insert(1, Metric::less("per message", took * 1e3 / f64::from(messages), "ms"));
    bench.verdict(outcome)
}
