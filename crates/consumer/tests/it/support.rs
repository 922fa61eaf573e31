//! Consumers over a memory log, with a clock that the test sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Admin, Bus, Hub, HubOptions, LocalBroker, Policies, PolicyOptions};
use fanfare_consumer::{Ack, Act, Cursors, Error, Handle, LeaseId, Leased, MemoryCursors, Name, Options, Pull};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, Data, Draft, ManualClock, Position, Tenant, Timestamp, Topic, TopicKey};

pub(crate) struct Bench {
    pub(crate) consumers: Handle,
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) life: Lifecycle,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// The topics of these tests: `short:…` keeps ten events, `none:…` nothing, `failing:…` buries, `*` keeps all.
fn policies() -> Arc<Policies> {
    let topics: BTreeMap<String, PolicyOptions> = serde_json::from_str(
        r#"{
            "*": {"history": {"max_events": 0, "max_age": "0s"}},
            "short": {"history": {"max_events": 10}},
            "none": {"history": "none"},
            "failing": {"dead_letter": "dead:jobs"}
        }"#,
    )
    .unwrap();
    Arc::new(Policies::new(&topics))
}

/// A bus over a memory log.
pub(crate) fn bus(clock: &Arc<ManualClock>) -> Bus {
    let policies = policies();
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let log = || Arc::new(MemoryLog::new(Arc::clone(clock) as _, Arc::clone(&hub) as _, memory::Options::default()));
    Bus::new(Arc::clone(&hub), Arc::new(LocalBroker::new(log(), log(), policies)))
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::on(Arc::new(MemoryCursors::new(options.consumers_max)), options)
    }

    pub(crate) fn on(cursors: Arc<dyn Cursors>, options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
        let bus = bus(&clock);
        let life = Lifecycle::new();
        bus.start_worker(&life);
        let consumers = Handle::new(cursors, bus.clone(), Arc::clone(&clock) as Arc<dyn Clock>, options);
        consumers.start(&life);
        Self { consumers, bus, clock, life }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Publishes text events numbered in `numbers`.
    pub(crate) async fn publish(&self, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<Position> {
        let topic = Topic::new(topic).unwrap();
        let batch = numbers.map(|n| (topic.clone(), Draft::new(Data::text(n.to_string())))).collect();
        let answers = self.bus.publish(&Tenant::default(), batch).await.unwrap();
        answers.into_iter().map(|answer| answer.unwrap().position).collect()
    }

    pub(crate) async fn admin(&self, change: Admin) {
        self.bus.admin(change).await.unwrap();
    }

    pub(crate) async fn try_pull(&self, pull: Pull) -> Result<Leased, Error> {
        self.consumers.pull(pull).await
    }

    /// Pulls at most `limit` events for consumer `c`, without waiting.
    pub(crate) async fn pull(&self, topic: &str, limit: usize) -> Leased {
        self.try_pull(pull(topic, limit)).await.unwrap()
    }

    pub(crate) async fn try_ack(&self, topic: &str, lease: LeaseId, act: Act) -> Result<Position, Error> {
        self.consumers.ack(Ack { topic: key(topic), consumer: name("c"), lease, act }).await
    }

    /// Settles a lease of consumer `c`; returns the offset up to which everything is done.
    pub(crate) async fn ack(&self, topic: &str, leased: &Leased, act: Act) -> u64 {
        self.try_ack(topic, leased.lease.unwrap(), act).await.unwrap().offset
    }
}

pub(crate) fn key(topic: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(topic).unwrap())
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// At most `limit` events for consumer `c`, without waiting, for 30 seconds.
pub(crate) fn pull(topic: &str, limit: usize) -> Pull {
    Pull { topic: key(topic), consumer: name("c"), limit, wait: Duration::ZERO, lease: Duration::from_secs(30) }
}

pub(crate) fn offsets(leased: &Leased) -> Vec<u64> {
    leased.events.iter().map(|event| event.offset).collect()
}

pub(crate) fn release(seconds: u64) -> Act {
    Act::Release { retry_after: Duration::from_secs(seconds) }
}
