//! A node with presence over a memory log, and who watches it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{
    Budget, Bus, Delivery, Direction, Hub, HubOptions, LocalBroker, OnSlow, Policies, PolicyOptions, Read, ReadFrom,
    Reader, Subscribe,
};
use fanfare_cluster::{Handle as Cluster, Leases, MemoryLeases, NodeInfo};
use fanfare_history::memory::{MemoryLog, Options as LogOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Event, ManualClock, SessionId, StartFrom, Tenant, Timestamp, Topic, TopicKey, UserId};
use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Diff, Handle, Member, Members, Options, Who};
use futures_util::FutureExt as _;
use serde_json::value::RawValue;

/// Kinds of topics, by what their policy is about.
const POLICIES: &str = r#"{
    "chat": { "presence": true },
    "team": { "presence": { "per": "user" } },
    "small": { "presence": { "members_max": 6 } },
    "quick": { "presence": { "grace": "0s" } },
    "patient": { "presence": { "grace": "60s" } },
    "huge": { "presence": { "members_max": 1000000 } },
    "logged": { "presence": { "log": ["occupied", "vacated", "join", "leave"], "grace": "0s" },
                "history": { "max_events": 0 } },
    "rooms": { "presence": { "log": ["occupied", "vacated"], "grace": "0s" }, "history": { "max_events": 0 } },
    "strict": { "presence": { "log": ["join"] }, "payload": { "names": ["message"] } }
}"#;

pub(crate) struct TestNode {
    pub(crate) presence: Handle,
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) life: Lifecycle,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.life.stop();
    }
}

pub(crate) fn policies() -> Arc<Policies> {
    let policies: BTreeMap<String, PolicyOptions> = serde_json::from_str(POLICIES).unwrap();
    Arc::new(Policies::new(&policies))
}

pub(crate) fn memory_log(clock: &Arc<ManualClock>, hub: &Arc<Hub>) -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Arc::clone(clock) as _, Arc::clone(hub) as _, LogOptions::default()))
}

/// A node that runs.
pub(crate) fn node(options: Options) -> TestNode {
    let (clock, policies) = (clock(), policies());
    let hub = Hub::new(HubOptions { ring_events_max: 16, ..HubOptions::default() }, Arc::clone(&policies), 1);
    let broker = LocalBroker::new(memory_log(&clock, &hub), memory_log(&clock, &hub), policies);
    on_bus(Bus::new(hub, Arc::new(broker)), clock, options)
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)))
}

pub(crate) fn on_bus(bus: Bus, clock: Arc<ManualClock>, options: Options) -> TestNode {
    let life = Lifecycle::new();
    bus.start_worker(&life);
    let engine = Arc::new(MemoryPresence::with_clock(Arc::clone(&clock) as _));
    let cluster = cluster(Arc::new(MemoryLeases::new()), &bus, "alone");
    cluster.start(&life);
    let presence = Handle::new(engine, bus.clone(), &cluster, Arc::clone(&clock) as _, options);
    presence.start(&life);
    TestNode { presence, bus, clock, life }
}

/// A node of the cluster that shares `leases`.
pub(crate) fn cluster(leases: Arc<dyn Leases>, bus: &Bus, name: &str) -> Cluster {
    let node = NodeInfo::new(name, Vec::new(), Timestamp::from_seconds(1_800_000_000), "0").unwrap();
    Cluster::new(leases, bus.clone(), node, fanfare_cluster::Options::default())
}

pub(crate) fn key(topic: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(topic).unwrap())
}

pub(crate) fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

/// `session` or `session@user`.
pub(crate) fn who(name: &str) -> Who {
    let (name, user) = name.split_once('@').map_or((name, None), |(name, user)| (name, Some(user)));
    Who { session: session(name), user: user.map(|user| UserId::new(user).unwrap()), info: None }
}

pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// So much time of a runtime whose time stands still: everything that is due until then is done.
pub(crate) async fn time_passes(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl TestNode {
    pub(crate) async fn enter(&self, topic: &str, name: &str) -> u64 {
        self.presence.enter(&key(topic), &who(name), None).await.unwrap()
    }

    pub(crate) async fn say(&self, topic: &str, name: &str, data: &str) -> u64 {
        self.presence.enter(&key(topic), &who(name), Some(raw(data))).await.unwrap()
    }

    pub(crate) async fn leave(&self, topic: &str, name: &str) -> u64 {
        self.presence.leave(&key(topic), &session(name)).await.unwrap()
    }

    pub(crate) fn disconnected(&self, name: &str) {
        self.presence.disconnected(&Tenant::default(), &session(name));
    }

    pub(crate) async fn resumed(&self, name: &str) -> Vec<String> {
        let topics = self.presence.resumed(&Tenant::default(), &session(name)).await;
        topics.iter().map(Topic::to_string).collect()
    }

    pub(crate) async fn gone(&self, name: &str) {
        self.presence.gone(&Tenant::default(), &session(name)).await;
    }

    pub(crate) async fn members(&self, topic: &str) -> Members {
        self.presence.members(&key(topic), None, usize::MAX).await.unwrap()
    }

    pub(crate) async fn ids(&self, topic: &str) -> Vec<String> {
        self.members(topic).await.members.iter().map(|member| member.id.clone()).collect()
    }

    /// The events in the log of a topic.
    pub(crate) async fn log(&self, topic: &str) -> Vec<Arc<Event>> {
        log(&self.bus, topic).await
    }
}

pub(crate) async fn log(bus: &Bus, topic: &str) -> Vec<Arc<Event>> {
    let (limit, bytes_max) = (usize::MAX, usize::MAX);
    let (topic, from, direction) = (key(topic), ReadFrom::End, Direction::Forward);
    bus.read(Read { topic, from, direction, limit, bytes_max, age_max: None }).await.unwrap().events
}

/// The name of each event without `fanfare.`, and whom it is about.
pub(crate) fn shown(events: &[Arc<Event>]) -> Vec<String> {
    let show = |event: &Arc<Event>| {
        let name = event.draft.name.as_ref().unwrap().as_str().strip_prefix("fanfare.").unwrap();
        let about = event.draft.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        format!("{name}{about}")
    };
    events.iter().map(show).collect()
}

/// A client that watches one topic, and does what `docs/protocol/presence.md` says.
pub(crate) struct Watcher {
    presence: Handle,
    topic: TopicKey,
    reader: Reader,
    pub(crate) members: BTreeMap<String, Arc<Member>>,
    pub(crate) rev: u64,
    pub(crate) count: u64,
    pub(crate) occupancy_only: bool,
    /// Every difference that was told, in order.
    pub(crate) diffs: Vec<Diff>,
    /// How often the members were read, after the first time.
    pub(crate) read_again: usize,
}

impl Watcher {
    pub(crate) async fn open(node: &TestNode, topic: &str) -> Self {
        let (presence, topic, mut reader) = (node.presence.clone(), key(topic), node.bus.reader());
        let companion = TopicKey::new(topic.tenant.clone(), topic.topic.signals());
        let start = StartFrom::Now;
        let request = Subscribe { topic: companion, start, on_slow: Some(OnSlow::Skip), history: false };
        reader.subscribe(request).await.unwrap();
        let mut watcher = Self {
            presence,
            topic,
            reader,
            members: BTreeMap::new(),
            rev: 0,
            count: 0,
            occupancy_only: false,
            diffs: Vec::new(),
            read_again: 0,
        };
        watcher.read().await;
        watcher
    }

    /// Reads the members, in pages.
    async fn read(&mut self) {
        self.members.clear();
        let (mut after, mut first) = (None, None);
        loop {
            let page = self.presence.members(&self.topic, after.as_deref(), 4).await.unwrap();
            self.members.extend(page.members.iter().map(|member| (member.id.clone(), Arc::clone(member))));
            let first = first.get_or_insert((page.rev, page.count, page.occupancy_only));
            (self.rev, self.count, self.occupancy_only) = *first;
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    /// Takes everything that was told so far.
    pub(crate) async fn catch_up(&mut self) {
        loop {
            let mut out = Vec::new();
            let budget = Budget { deliveries: 5, bytes: 1 << 20 };
            if std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out)).now_or_never().is_none() {
                return;
            }
            for delivery in out {
                match delivery {
                    Delivery::Event { entry, .. } => self.told(Diff::of(&entry.event).unwrap()).await,
                    Delivery::Gap { .. } => self.again().await,
                    Delivery::Ended { why, .. } => panic!("ended: {why:?}"),
                }
            }
        }
    }

    async fn again(&mut self) {
        self.read_again += 1;
        self.read().await;
    }

    async fn told(&mut self, diff: Diff) {
        self.diffs.push(diff.clone());
        if diff.rev <= self.rev {
            return;
        }
        if diff.occupancy_only {
            self.members.clear();
        } else if diff.prev == 0 {
            self.members.clear();
            self.apply(&diff);
        } else if diff.prev > self.rev || self.occupancy_only {
            return self.again().await;
        } else {
            self.apply(&diff);
        }
        (self.rev, self.count, self.occupancy_only) = (diff.rev, diff.count, diff.occupancy_only);
    }

    fn apply(&mut self, diff: &Diff) {
        for member in diff.join.iter().chain(&diff.update) {
            self.members.insert(member.id.clone(), Arc::clone(member));
        }
        for member in &diff.leave {
            self.members.remove(&member.id);
        }
    }
}

/// The ids in a list of a difference.
pub(crate) fn ids(members: &[Arc<Member>]) -> Vec<&str> {
    members.iter().map(|member| member.id.as_str()).collect()
}
