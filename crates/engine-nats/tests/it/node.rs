//! A node with a hub, and a reader on it that can be asked what it got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{
    Broker, Budget, Bus, Delivery, Head, History, Hub, HubOptions, Policies, PolicyOptions, Reader, Subscribe,
};
use fanfare_engine_nats::{Engine, Options};
use fanfare_history::{Direction, Read, ReadFrom};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{
    Data, Draft, Event, EventId, Gap, Kind, Position, StartFrom, SystemClock, Tenant, Topic, TopicKey,
};

/// How long anything may take in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

/// One node on the engine.
pub(crate) struct Node {
    pub(crate) bus: Bus,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) life: Lifecycle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop();
    }
}

impl Node {
    pub(crate) async fn start(options: &Options) -> Self {
        Self::start_keeping(options, 1000).await
    }

    /// One that keeps so many events of topics of the kind `few`.
    pub(crate) async fn start_keeping(options: &Options, few: u64) -> Self {
        let life = Lifecycle::new();
        let policy = PolicyOptions { history: Some(History::default()), ..PolicyOptions::default() };
        let few = serde_json::from_str(&format!(r#"{{"max_events":{few}}}"#)).expect("bounds");
        let few = PolicyOptions { history: Some(few), ..PolicyOptions::default() };
        let quiet = PolicyOptions {
            history: Some(serde_json::from_str("\"none\"").expect("a history")),
            ..PolicyOptions::default()
        };
        let kinds = BTreeMap::from([("*".to_owned(), policy), ("passing".to_owned(), quiet), ("few".to_owned(), few)]);
        let policies = Arc::new(Policies::new(&kinds));
        let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
        let engine = Engine::connect(options, Arc::new(SystemClock), &life).await.expect("the engine connects");
        let broker = engine.broker(policies, Arc::clone(&hub) as _).await.expect("the broker opens");
        let bus = Bus::new(hub, Arc::clone(&broker));
        bus.start_worker(&life);
        bus.start_upkeep(&life, Arc::new(SystemClock));
        Self { bus, broker, life }
    }

    /// Publishes an event, named after its number, until it is accepted.
    pub(crate) async fn publish(&self, topic: &TopicKey, number: u64) -> Position {
        let accepted = async {
            loop {
                if let Some(position) = self.offer(topic, number).await {
                    return position;
                }
            }
        };
        tokio::time::timeout(PATIENCE, accepted).await.expect("it is accepted in time")
    }

    /// Publishes an event that cannot be stored now.
    pub(crate) async fn refused(&self, topic: &TopicKey, number: u64) {
        let stored = self.offer(topic, number).await;
        assert_eq!(stored, None, "nobody stores it");
    }

    /// Publishes an event, if it can be stored now.
    pub(crate) async fn offer(&self, topic: &TopicKey, number: u64) -> Option<Position> {
        let id = EventId::new(format!("n{number}")).expect("a valid id");
        let draft = Draft { id, ..Draft::new(Data::text(number.to_string())) };
        let answers = self.bus.publish(&topic.tenant, vec![(topic.topic.clone(), draft)]).await;
        let answer = answers.expect("the event is valid").remove(0);
        let refused = |error: fanfare_bus::Error| assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        answer.map_err(refused).ok().map(|appended| appended.position)
    }

    /// Every event of a topic, as the log has it.
    pub(crate) async fn log(&self, topic: &TopicKey) -> Vec<Arc<Event>> {
        let mut events: Vec<Arc<Event>> = Vec::new();
        loop {
            let from = events.last().map_or(1, |last| last.offset + 1);
            let read = Read {
                topic: topic.clone(),
                from: ReadFrom::Offset(from),
                direction: Direction::Forward,
                limit: 256,
                bytes_max: 1 << 20,
                age_max: None,
            };
            let page = self.broker.read(read).await.expect("the log is read");
            events.extend(page.events);
            if !page.more {
                return events;
            }
        }
    }

    pub(crate) async fn publish_all(&self, topic: &TopicKey, numbers: std::ops::RangeInclusive<u64>) -> Vec<Position> {
        let mut positions = Vec::new();
        for number in numbers {
            positions.push(self.publish(topic, number).await);
        }
        positions
    }

    pub(crate) async fn heads(&self, topics: Vec<TopicKey>) -> Vec<Head> {
        self.broker.heads(topics).await.expect("the heads are read")
    }

    /// Waits until a topic has so many events.
    pub(crate) async fn until_head(&self, topic: &TopicKey, events: u64) {
        let there = async {
            while self.heads(vec![topic.clone()]).await[0].events < events {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.expect("the events are there in time");
    }

    pub(crate) async fn listen(&self, topic: &TopicKey, start: StartFrom) -> Listener {
        let mut reader = self.bus.reader();
        let subscribe = Subscribe { topic: topic.clone(), start, on_slow: None, history: true };
        reader.subscribe(subscribe).await.expect("the topic is subscribed");
        Listener { reader, got: Vec::new() }
    }
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
                    Delivery::Event { entry, .. } => {
                        let text = entry.event.draft.data.as_text().expect("a text");
                        Got::Event(text.parse().expect("a number"))
                    }
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
