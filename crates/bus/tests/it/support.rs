//! A bus over a memory log, and a reader that can be asked what it got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{
    Broker, Budget, Bus, Delivery, Ended, Hub, HubOptions, LocalBroker, OnSlow, Policies, PolicyOptions, Reader,
    Subscribe, Subscribed,
};
use fanfare_history::memory::{MemoryLog, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, EventId, Gap, ManualClock, Position, StartFrom, Tenant, Timestamp, Topic, TopicKey};

pub(crate) struct TestBus {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) life: Lifecycle,
}

impl Drop for TestBus {
    fn drop(&mut self) {
        self.life.stop();
    }
}

pub(crate) fn policies(star: PolicyOptions) -> Arc<Policies> {
    let none = r#"{"history":"none"}"#;
    Arc::new(Policies::new(&BTreeMap::from([
        ("*".to_owned(), star),
        ("passing".to_owned(), serde_json::from_str(none).unwrap()),
    ])))
}

pub(crate) fn memory_log(clock: &Arc<ManualClock>, announce: Arc<dyn fanfare_history::Announce>) -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Arc::clone(clock) as _, announce, Options::default()))
}

/// A bus over a memory log with these options.
pub(crate) fn bus(options: HubOptions, star: PolicyOptions) -> TestBus {
    let policies = policies(star);
    let hub = Hub::new(options, Arc::clone(&policies), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000)));
    let log = memory_log(&clock, Arc::clone(&hub) as _);
    let ephemeral = memory_log(&clock, Arc::clone(&hub) as _);
    start(hub, Arc::new(LocalBroker::new(log, ephemeral, policies)), clock)
}

pub(crate) fn start(hub: Arc<Hub>, broker: Arc<dyn Broker>, clock: Arc<ManualClock>) -> TestBus {
    let bus = Bus::new(hub, broker);
    let life = Lifecycle::new();
    bus.start_worker(&life);
    bus.start_upkeep(&life, Arc::clone(&clock) as _);
    TestBus { bus, clock, life }
}

pub(crate) fn small_ring() -> HubOptions {
    HubOptions { ring_events_max: 4, page_events_max: 8, ..HubOptions::default() }
}

pub(crate) fn key(topic: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(topic).unwrap())
}

impl TestBus {
    /// Publishes text events numbered in `numbers`; returns their positions.
    pub(crate) async fn publish(&self, topic: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<Position> {
        self.publish_keyed(topic, numbers, None).await
    }

    pub(crate) async fn publish_keyed(
        &self,
        topic: &str,
        numbers: std::ops::RangeInclusive<u64>,
        keys: Option<u64>,
    ) -> Vec<Position> {
        let batch = numbers
            .map(|n| {
                let mut draft = Draft::new(Data::text(n.to_string()));
                draft.id = EventId::new(format!("{topic}/{n}")).unwrap();
                draft.key = keys.map(|keys| fanfare_model::Key::new(format!("k{}", n % keys)).unwrap());
                (Topic::new(topic).unwrap(), draft)
            })
            .collect();
        let answers = self.bus.publish(&Tenant::default(), batch).await.unwrap();
        answers.into_iter().map(|answer| answer.unwrap().position).collect()
    }

    pub(crate) fn listener(&self) -> Listener {
        Listener { reader: self.bus.reader(), got: Vec::new() }
    }
}

/// What a listener got, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Event(u64),
    Gap(Gap),
    Ended(Ended),
}

pub(crate) struct Listener {
    pub(crate) reader: Reader,
    pub(crate) got: Vec<Got>,
}

impl Listener {
    pub(crate) async fn subscribe(&mut self, topic: &str, start: StartFrom) -> Subscribed {
        self.subscribe_with(topic, start, None, true).await
    }

    pub(crate) async fn subscribe_with(
        &mut self,
        topic: &str,
        start: StartFrom,
        on_slow: Option<OnSlow>,
        history: bool,
    ) -> Subscribed {
        self.reader.subscribe(Subscribe { topic: key(topic), start, on_slow, history }).await.unwrap()
    }

    /// Takes one batch.
    pub(crate) async fn turn(&mut self, budget: Budget) -> usize {
        let mut out = Vec::new();
        std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out)).await;
        let n = out.len();
        self.got.extend(out.into_iter().map(|delivery| match delivery {
            Delivery::Event { entry, .. } => Got::Event(entry.event.draft.data.as_text().unwrap().parse().unwrap()),
            Delivery::Gap { gap, .. } => Got::Gap(gap),
            Delivery::Ended { why, .. } => Got::Ended(why),
        }));
        n
    }

    /// Takes batches until `done` says so.
    pub(crate) async fn until(&mut self, done: impl Fn(&[Got]) -> bool) -> &[Got] {
        let patience = Duration::from_secs(20);
        let whole = tokio::time::timeout(patience, async {
            while !done(&self.got) {
                self.turn(Budget { deliveries: 7, bytes: 1 << 20 }).await;
            }
        });
        assert!(whole.await.is_ok(), "not in time; got {:?}", self.got);
        &self.got
    }

    /// Takes batches until the event numbered `last` has come; asserts that nothing waits after it.
    pub(crate) async fn until_event(&mut self, last: u64) -> Vec<Got> {
        self.until(|got| got.contains(&Got::Event(last))).await.to_vec()
    }
}

/// Events `numbers`, as a listener gets them.
pub(crate) fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Got> {
    numbers.map(Got::Event).collect()
}

/// A directory for an engine; in memory where there is such a place, because these cases are about what the engine does,
/// and a disk that is shared with others takes most of their time.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
