//! The scenarios, each a file: what it models, what it does, what it tells.

mod churn;
mod connect_storm;
mod fanout;
mod history_catchup;
mod idle;
mod interest;
mod kairos;
mod latency;
mod pairs;
mod presence;
mod publish;
mod reconnect_storm;
mod refresh;
mod resume;
mod slow_readers;
mod soak;
mod sse_users;
mod topics;

use std::time::Duration;

use clap::Subcommand;

use crate::bench::Bench;
use crate::ground::Ground;
use crate::report::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    Fanout(fanout::Options),
    Topics(topics::Options),
    Pairs(pairs::Options),
    SseUsers(sse_users::Options),
    KairosIdle(kairos::Idle),
    KairosBroadcast(kairos::Broadcast),
    KairosSplit(kairos::Split),
    Idle(idle::Options),
    Interest(interest::Options),
    ConnectStorm(connect_storm::Options),
    ReconnectStorm(reconnect_storm::Options),
    SlowReaders(slow_readers::Options),
    Latency(latency::Options),
    Churn(churn::Options),
    HistoryCatchup(history_catchup::Options),
    Resume(resume::Options),
    Publish(publish::Options),
    Presence(presence::Options),
    Refresh(refresh::Options),
    Soak(soak::Options),
}

impl Scenario {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fanout(_) => "fanout",
            Self::Topics(_) => "topics",
            Self::Pairs(_) => "pairs",
            Self::SseUsers(_) => "sse-users",
            Self::KairosIdle(_) => "kairos-idle",
            Self::KairosBroadcast(_) => "kairos-broadcast",
            Self::KairosSplit(_) => "kairos-split",
            Self::Idle(_) => "idle",
            Self::Interest(_) => "interest",
            Self::ConnectStorm(_) => "connect-storm",
            Self::ReconnectStorm(_) => "reconnect-storm",
            Self::SlowReaders(_) => "slow-readers",
            Self::Latency(_) => "latency",
            Self::Churn(_) => "churn",
            Self::HistoryCatchup(_) => "history-catchup",
            Self::Resume(_) => "resume",
            Self::Publish(_) => "publish",
            Self::Presence(_) => "presence",
            Self::Refresh(_) => "refresh",
            Self::Soak(_) => "soak",
        }
    }

    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        match self {
            Self::Fanout(options) => options.run(ground),
            Self::Topics(options) => options.run(ground),
            Self::Pairs(options) => options.run(ground),
            Self::SseUsers(options) => options.run(ground),
            Self::KairosIdle(options) => options.run(ground),
            Self::KairosBroadcast(options) => options.run(ground),
            Self::KairosSplit(options) => options.run(ground),
            Self::Idle(options) => options.run(ground),
            Self::Interest(options) => options.run(ground),
            Self::ConnectStorm(options) => options.run(ground),
            Self::ReconnectStorm(options) => options.run(ground),
            Self::SlowReaders(options) => options.run(ground),
            Self::Latency(options) => options.run(ground),
            Self::Churn(options) => options.run(ground),
            Self::HistoryCatchup(options) => options.run(ground),
            Self::Resume(options) => options.run(ground),
            Self::Publish(options) => options.run(ground),
            Self::Presence(options) => options.run(ground),
            Self::Refresh(options) => options.run(ground),
            Self::Soak(options) => options.run(ground),
        }
    }
}

/// Publishes so many events to a topic, in the largest batches that go.
fn fill(bench: &mut Bench, topic: u32, events: usize) -> anyhow::Result<()> {
    let batch = bench.batch_max()?;
    let mut left = events;
    while left > 0 {
        let count = left.min(batch);
        bench.publish(topic, count)?;
        left -= count;
        while bench.in_flight() > 1 {
            bench.turn(Duration::from_millis(10))?;
        }
    }
    bench.answered()
}
