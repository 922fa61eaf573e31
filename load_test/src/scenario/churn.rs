//! Readers that come, go and change their minds while events flow.

use std::time::Duration;

use crate::bench::Bench;
use crate::engine::swarm::Order;
use crate::ground::Ground;
use crate::report::{Metric, Outcome};
use crate::target::Wish;
use crate::target::fanfare::Setting;
use crate::transport::Transport;

/// Readers that come, go and change their minds while events flow: people who open and close pages.
///
/// Events are published to all topics in turn at a fixed rate. At another a reader is exchanged for a new one of another topic, or,
/// over WebSocket, moves its second subscription to another topic. Every subscription must be an unbroken chain from its
/// first event to its end.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many readers.
    #[arg(long, default_value_t = 2000)]
    readers: u32,
    /// How many topics.
    #[arg(long, default_value_t = 200)]
    topics: u32,
    /// Changes a second.
    #[arg(long, default_value_t = 200.0)]
    changes: f64,
    /// Events a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// For how long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// A reader as it is now.
struct Guest {
    id: u32,
    topic: u32,
    second: Option<u32>,
}

impl Options {
    pub(crate) fn run(&self, ground: &Ground) -> anyhow::Result<Vec<Outcome>> {
        anyhow::ensure!(self.topics > 2, "--topics must be more than 2");
        ground.each(Setting::LIVE, ground.transports(), 1, |bench, transport| self.measure(bench, transport))
    }

    fn measure(&self, bench: &mut Bench, transport: Transport) -> anyhow::Result<Outcome> {
        let plan = bench.plan(&Wish::new(transport).any_first())?;
        let moves = plan.subscribe.is_some() && plan.unsubscribe.is_some();
        let mut guests = Vec::new();
        for n in 0..self.readers {
            let topic = n % self.topics;
            guests.push(Guest { id: bench.crowd.dial(&plan, topic)?, topic, second: None });
        }
        bench.wait_live(u64::from(self.readers))?;
        bench.begin()?;
        let (mut changes, mut exchanged) = (0.0, 0_u32);
        bench.paced(self.rate, Duration::from_secs(self.seconds), |bench, n, at| {
            bench.publish_at(n % self.topics, 1, at)?;
            // So many changes fall to each event.
            changes += self.changes / self.rate;
            while changes >= 1.0 {
                changes -= 1.0;
                let guest = &mut guests[rand::random_range(0..self.readers as usize)];
                if moves && rand::random::<bool>() {
                    self.move_on(bench, guest)?;
                } else {
                    bench.crowd.order(guest.id, Order::Close(guest.id))?;
                    let topic = rand::random_range(0..self.topics);
                    *guest = Guest { id: bench.crowd.dial(&plan, topic)?, topic, second: None };
                }
                exchanged += 1;
            }
            Ok(())
        })?;
        bench.answered()?;
        bench.wait_live(u64::from(self.readers))?;
        let mut outcome = bench.end()?.outcome();
        let connect = bench.crowd.take(|tally| &mut tally.connect)?;
        outcome.metrics.push(Metric::fact("changes", f64::from(exchanged), ""));
        outcome.metrics.push(Metric::less("connecting, p99", connect.value_at_percentile(99.0) as f64 / 1e3, "ms"));
        bench.verdict(outcome)
    }

    /// Moves the second subscription to a topic that is neither the first nor the one before.
    fn move_on(&self, bench: &mut Bench, guest: &mut Guest) -> anyhow::Result<()> {
        let before = guest.second;
        if let Some(topic) = before {
            bench.crowd.order(guest.id, Order::Unsubscribe { id: guest.id, topic })?;
        }
        let mut topic = rand::random_range(0..self.topics);
        while topic == guest.topic || Some(topic) == before {
            topic = (topic + 1) % self.topics;
        }
        guest.second = Some(topic);
        bench.crowd.order(guest.id, Order::Subscribe { id: guest.id, topic })
    }
}
