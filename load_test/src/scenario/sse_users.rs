//! Users with a topic of their own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::ensure;

use crate::bench::Bench;
use crate::clock;
use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Users with a topic of their own each: notifications. After Neurow's load test.
///
/// Each user connects, then gets a random number of messages with random pauses. Exact order and content are checked. With
/// `--reconnect` users lose their connection at random and come back with `Last-Event-ID`: still every message once.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many users.
    #[arg(long, default_value_t = 1000)]
    users: u32,
    /// The fewest messages of a user.
    #[arg(long, default_value_t = 10)]
    messages_min: u32,
    /// The most.
    #[arg(long, default_value_t = 50)]
    messages_max: u32,
    /// The shortest pause between two messages, in milliseconds.
    #[arg(long, default_value_t = 500)]
    pause_min_ms: u64,
    /// The longest.
    #[arg(long, default_value_t = 5000)]
    pause_max_ms: u64,
    /// Connections that are cut each second.
    #[arg(long, default_value_t = 0.0)]
    reconnect: f64,
    /// Connections that publish.
    #[arg(long, default_value = "16")]
    publishers: NonZeroUsize,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        ensure!(self.messages_min <= self.messages_max, "--messages-min is more than --messages-max");
        ensure!(self.pause_min_ms <= self.pause_max_ms, "--pause-min-ms is more than --pause-max-ms");
        ground.each(Setting::LOG, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let mut wish = Wish::new(transport).distinct();
        if self.reconnect > 0.0 {
            wish = wish.come_back(Duration::ZERO..Duration::from_millis(500));
        }
        let first = bench.subscribe(&bench.plan(&wish)?, self.users, |n| n)?;
        bench.callers(self.publishers.get());
        bench.begin()?;
        let begin = clock::now();
        let mut due = BinaryHeap::new();
        for user in 0..self.users {
            let messages = rand::random_range(self.messages_min..=self.messages_max);
            due.push(Reverse((begin + self.pause(), user, messages)));
        }
        let (mut cuts, mut messages) = (0_u32, 0_u32);
        while let Some(Reverse((at, user, left))) = due.pop() {
            while clock::now() < at {
                let wait = at.saturating_sub(clock::now()) / 1000;
                bench.turn(Duration::from_millis(wait.min(10)))?;
                if f64::from(cuts) < (clock::now() - begin) as f64 / 1e6 * self.reconnect {
                    cuts += 1;
                    let id = first + rand::random_range(0..self.users);
                    bench.crowd.order(id, Order::Cut(id))?;
                }
            }
            bench.publish_at(user, 1, at)?;
            messages += 1;
            if left > 1 {
                due.push(Reverse((at + self.pause(), user, left - 1)));
            }
        }
        bench.settle()?;
        bench.answered()?;
        let mut outcome = bench.end()?.outcome();
        outcome.metrics.insert(0, Metric::fact("messages", f64::from(messages), ""));
        outcome.metrics.insert(1, Metric::fact("reconnects", f64::from(cuts), ""));
        bench.verdict(outcome)
    }

    fn pause(&self) -> u64 {
        rand::random_range(self.pause_min_ms * 1000..=self.pause_max_ms * 1000)
    }
}
