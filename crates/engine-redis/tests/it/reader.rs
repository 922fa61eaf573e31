//! A node with a hub, and a reader on it that can be asked what it got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Budget, Bus, Delivery, Error, History, Hub, HubOptions, Policies, PolicyOptions, Reader, Subscribe};
use fanfare_engine_redis::{Engine, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, Event, EventId, Gap, Position, StartFrom, SystemClock, Tenant, Topic, TopicKey};

/// How long anything may take in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

/// One node on the engine.
pub(crate) struct Node {
    pub(crate) bus: Bus,
    pub(crate) life: Lifecycle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop();
    }
}

impl Node {
    pub(crate) async fn start(options: &Options) -> Self {
        let life = Lifecycle::new();
        let policy = PolicyOptions { history: Some(History::default()), ..PolicyOptions::default() };
        let policies = Arc::new(Policies::new(&BTreeMap::from([("*".to_owned(), policy)])));
        let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
        let engine = Engine::connect(options, Arc::new(SystemClock), &life).await.expect("the engine connects");
        let bus = Bus::new(Arc::clone(&hub), engine.broker(policies, hub));
        bus.start_worker(&life);
        bus.start_upkeep(&life, Arc::new(SystemClock));
        Self { bus, life }
    }

    pub(crate) async fn try_publish(&self, topic: &TopicKey, number: u64) -> Result<Position, Error> {
        self.try_publish_draft(topic, Draft::new(Data::text(number.to_string()))).await
    }

    /// Under an id that may be there already.
    pub(crate) async fn try_publish_as(&self, topic: &TopicKey, id: &str, number: u64) -> Result<Position, Error> {
        let mut draft = Draft::new(Data::text(number.to_string()));
        draft.id = EventId::new(id).expect("a valid id");
        self.try_publish_draft(topic, draft).await
    }

    pub(crate) async fn publish_text(&self, topic: &TopicKey, text: String) {
        self.try_publish_draft(topic, Draft::new(Data::text(text))).await.expect("the event is accepted");
    }

    async fn try_publish_draft(&self, topic: &TopicKey, draft: Draft) -> Result<Position, Error> {
        let mut answers =
            self.bus.publish(&topic.tenant, vec![(topic.topic.clone(), draft)]).await.expect("the event is valid");
        answers.remove(0).map(|appended| appended.position)
    }

    pub(crate) async fn publish(&self, topic: &TopicKey, numbers: std::ops::RangeInclusive<u64>) -> Vec<Position> {
        let mut positions = Vec::new();
        for number in numbers {
            positions.push(self.try_publish(topic, number).await.expect("the event is accepted"));
        }
        positions
    }

    pub(crate) async fn listen(&self, topic: &TopicKey) -> Listener {
        let mut reader = self.bus.reader();
        let subscribe = Subscribe { topic: topic.clone(), start: StartFrom::Start, on_slow: None, history: true };
        reader.subscribe(subscribe).await.expect("the topic is subscribed");
        Listener { reader, got: Vec::new() }
    }
}

fn number(event: &Event) -> u64 {
    event.draft.data.as_text().and_then(|text| text.trim_end().parse().ok()).expect("the number that was published")
}

/// What a reader got, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Event(u64),
    Gap(Gap),
}

pub(crate) struct Listener {
    reader: Reader,
    pub(crate) got: Vec<Got>,
}

impl Listener {
    /// Takes what comes until `done` says so.
    pub(crate) async fn until(&mut self, done: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let whole = tokio::time::timeout(PATIENCE, async {
            while !done(&self.got) {
                let mut out = Vec::new();
                let budget = Budget { deliveries: 64, bytes: 1 << 20 };
                std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out)).await;
                self.got.extend(out.into_iter().map(|delivery| match delivery {
                    Delivery::Event { entry, .. } => Got::Event(number(&entry.event)),
                    Delivery::Gap { gap, .. } => Got::Gap(gap),
                    Delivery::Ended { why, .. } => panic!("the subscription ended: {why:?}"),
                }));
            }
        });
        assert!(whole.await.is_ok(), "not in time; got {:?}", self.got);
        self.got.clone()
    }

    pub(crate) async fn until_event(&mut self, last: u64) -> Vec<Got> {
        self.until(|got| got.contains(&Got::Event(last))).await
    }
}

pub(crate) fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Got> {
    numbers.map(Got::Event).collect()
}
