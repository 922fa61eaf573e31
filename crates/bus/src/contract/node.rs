//! The nodes of a case, and readers on them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fanfare_history::contract::Announced;
use fanfare_history::{Appended, Capabilities, Direction, Page, Read, ReadFrom};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, Event, EventId, Gap, ManualClock, Position, StartFrom, Tenant, Topic, TopicKey};

use super::ear::Ear;
use super::{Make, Setting, begin, policies};
use crate::broker::Broker;
use crate::bus::Bus;
use crate::hub::{Hub, HubOptions};
use crate::reader::{Budget, Delivery, Reader, Subscribe, Subscribed};

/// How long anything may take in a test.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The nodes on one engine.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) announced: Announced,
    pub(super) can: Capabilities,
    ground: Ground,
}

/// What the nodes of a case have in common.
pub(super) struct Ground {
    place: usize,
    make: Make,
    announced: Announced,
    clock: Arc<ManualClock>,
    hub: HubOptions,
}

/// One node.
pub(super) struct Node {
    pub(super) bus: Bus,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) ear: Arc<Ear>,
    life: Lifecycle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop();
    }
}

impl Ground {
    pub(super) fn new(place: usize, make: Make, announced: Announced) -> Self {
        // Where every announcement arrives heads need not be compared, and that must not hide that one did not.
        let every = if announced == Announced::Perhaps { Duration::from_millis(50) } else { Duration::from_secs(3600) };
        // The time of events may be that of a server, by which they are old when they come.
        let ring_age_max = fanfare_model::Duration::from_secs(100 * 365 * 24 * 3600);
        let hub =
            HubOptions { head_check_interval: fanfare_model::Duration(every), ring_age_max, ..HubOptions::default() };
        Self { place, make, announced, clock: Arc::new(ManualClock::new(begin())), hub }
    }

    /// Readers are soon behind the rings of their topics, pages are small, and topics are detached when nobody reads them.
    pub(super) fn with_small_rings(self) -> Self {
        let linger = fanfare_model::Duration(Duration::ZERO);
        Self { hub: HubOptions { ring_events_max: 4, page_events_max: 3, linger, ..self.hub }, ..self }
    }
}

impl Cluster {
    pub(super) async fn set_up(ground: Ground, nodes: usize) -> Self {
        let mut all = Vec::new();
        for node in 0..nodes {
            all.push(Node::set_up(&ground, node).await);
        }
        let can = all[0].broker.capabilities();
        Self { nodes: all, announced: ground.announced, can, ground }
    }

    /// Ends some nodes as a crash does, and then starts them again. Nobody may hold anything of them.
    pub(super) async fn restart(&mut self, which: Range<usize>) {
        for node in self.nodes.drain(which.clone()) {
            node.life.stop();
            node.life.ended().await;
        }
        for node in which {
            self.nodes.insert(node, Node::set_up(&self.ground, node).await);
        }
    }

    /// The first node.
    pub(super) fn one(&self) -> &Node {
        &self.nodes[0]
    }

    /// The last node: another one, if there are several.
    pub(super) fn other(&self) -> &Node {
        &self.nodes[self.nodes.len() - 1]
    }

    /// Whether every announcement arrives as long as nothing breaks.
    pub(super) fn is_exact(&self) -> bool {
        self.announced != Announced::Perhaps
    }

    pub(super) async fn close(self) {
        for node in &self.nodes {
            node.bus.close().await.expect("the broker closes");
        }
    }
}

impl Node {
    async fn set_up(ground: &Ground, node: usize) -> Self {
        let (policies, clock) = (policies(), &ground.clock);
        let hub = Hub::new(ground.hub.clone(), Arc::clone(&policies), 1);
        let ear = Arc::new(Ear::new(&hub));
        let receive = Arc::clone(&ear) as _;
        let setting = Setting { place: ground.place, node, clock: Arc::clone(clock), receive, policies };
        let broker = (ground.make)(setting).await;
        let bus = Bus::new(hub, Arc::clone(&broker));
        let life = Lifecycle::new();
        bus.start_worker(&life);
        bus.start_upkeep(&life, Arc::clone(clock) as _);
        Self { bus, broker, ear, life }
    }

    pub(super) async fn publish(&self, topic: &TopicKey, draft: Draft) -> Appended {
        let mut answers = self.try_publish(vec![(topic.clone(), draft)]).await;
        answers.remove(0)
    }

    /// Publishes a batch, all of which is accepted.
    pub(super) async fn try_publish(&self, batch: Vec<(TopicKey, Draft)>) -> Vec<Appended> {
        let tenant = batch.first().map_or_else(Tenant::default, |(topic, _)| topic.tenant.clone());
        let batch = batch.into_iter().map(|(topic, draft)| (topic.topic, draft)).collect();
        let answers = self.bus.publish(&tenant, batch).await.expect("the batch is accepted");
        answers.into_iter().map(|answer| answer.expect("the event is accepted")).collect()
    }

    /// Publishes events with these numbers as their data.
    pub(super) async fn publish_numbers(&self, topic: &TopicKey, numbers: Range<u64>) -> Vec<Appended> {
        self.try_publish(numbers.map(|n| (topic.clone(), numbered(n))).collect()).await
    }

    pub(super) fn listener(&self) -> Listener {
        Listener { reader: self.bus.reader(), got: Vec::new() }
    }

    /// A listener to one topic.
    pub(super) async fn listen(&self, topic: &TopicKey, start: StartFrom) -> Listener {
        let mut listener = self.listener();
        listener.subscribe(topic, start).await;
        listener
    }

    /// Everything there is of a topic, as soon as this node sees this position.
    pub(super) async fn all(&self, topic: &TopicKey, upto: Position) -> Vec<Arc<Event>> {
        self.page(topic, upto).await.events
    }

    pub(super) async fn page(&self, topic: &TopicKey, upto: Position) -> Page {
        let (limit, bytes_max) = (usize::MAX, usize::MAX);
        let (from, direction) = (ReadFrom::End, Direction::Forward);
        let read = Read { topic: topic.clone(), from, direction, limit, bytes_max, age_max: None };
        let seen = async {
            loop {
                let page = self.bus.read(read.clone()).await.expect("the log is read");
                if page.head.last.offset >= upto.offset {
                    return page;
                }
                // Another node may see it a little later.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("what was published is read on every node")
    }
}

/// What a listener got, in order.
#[derive(Debug, Clone)]
pub(super) enum Got {
    Event(Arc<Event>),
    Gap(Gap),
}

/// A reader, and what it got.
pub(super) struct Listener {
    pub(super) reader: Reader,
    pub(super) got: Vec<Got>,
}

impl Listener {
    pub(super) async fn subscribe(&mut self, topic: &TopicKey, start: StartFrom) -> Subscribed {
        let request = Subscribe { topic: topic.clone(), start, on_slow: None, history: true };
        self.reader.subscribe(request).await.expect("the subscription is accepted")
    }

    /// Takes what comes until `done` says so.
    pub(super) async fn until(&mut self, done: impl Fn(&[Got]) -> bool) {
        let in_time = self.until_within(PATIENCE, done).await;
        assert!(in_time, "not in time; got {} deliveries, the last {:?}", self.got.len(), self.got.last());
    }

    /// The same, unless it takes too long. Says whether it is done.
    pub(super) async fn until_within(&mut self, time: Duration, done: impl Fn(&[Got]) -> bool) -> bool {
        let whole = tokio::time::timeout(time, async {
            while !done(&self.got) {
                let mut out = Vec::new();
                let budget = Budget { deliveries: 64, bytes: 1 << 20 };
                std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out)).await;
                self.got.extend(out.into_iter().map(|delivery| match delivery {
                    Delivery::Event { entry, .. } => Got::Event(Arc::clone(&entry.event)),
                    Delivery::Gap { gap, .. } => Got::Gap(gap),
                    Delivery::Ended { why, .. } => panic!("the subscription ended: {why:?}"),
                }));
            }
        });
        whole.await.is_ok()
    }

    /// Takes what comes until it has so many events, which nothing interrupts; gives them out.
    pub(super) async fn events(&mut self, count: usize) -> Vec<Arc<Event>> {
        self.until(|got| got.len() >= count).await;
        let take = |got| match got {
            Got::Event(event) => event,
            Got::Gap(gap) => panic!("a gap: {gap:?}"),
        };
        self.got.drain(..).map(take).collect()
    }
}

pub(super) fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

pub(super) fn numbered(n: u64) -> Draft {
    Draft::new(Data::text(n.to_string()))
}

pub(super) fn with_id(id: &str) -> Draft {
    Draft { id: EventId::new(id).expect("a valid id"), ..Draft::new(Data::text("x")) }
}

pub(super) fn offsets(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}
