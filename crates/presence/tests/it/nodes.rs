//! Several nodes on one engine: members are on any of them, and one of them tells of each topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker};
use fanfare_cluster::{Leases, MemoryLeases};
use fanfare_history::memory::{MemoryLog, Options as LogOptions};
use fanfare_history::{Announce, Reset};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Event, ManualClock, Tenant, UserId};
use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Handle, Options, Presence};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use parking_lot::RwLock;

use crate::cable::{Cable, Far};
use crate::support::{TestNode, Watcher, clock, cluster, key, policies, raw, session, shown, time_passes, who};

/// Long enough for a dead node to be noticed, by its leases and by presence.
const DEATH: u64 = 40_000;

/// An engine, and what else nodes share.
struct Place {
    engine: Arc<MemoryPresence>,
    leases: MemoryLeases,
    hubs: Arc<Hubs>,
    broker: Arc<LocalBroker>,
    clock: Arc<ManualClock>,
}

/// Those of all nodes: what is stored is announced to each.
#[derive(Default)]
struct Hubs(RwLock<Vec<Arc<Hub>>>);

impl Announce for Hubs {
    fn stored(&self, events: &[Arc<Event>]) {
        self.0.read().iter().for_each(|hub| hub.stored(events));
    }

    fn reset(&self, reset: &Reset) {
        self.0.read().iter().for_each(|hub| hub.reset(reset));
    }
}

/// A node, and its connection to all of that.
struct Node {
    node: TestNode,
    cable: Cable,
}

impl std::ops::Deref for Node {
    type Target = TestNode;

    fn deref(&self) -> &TestNode {
        &self.node
    }
}

impl Place {
    fn new() -> Self {
        let (clock, policies) = (clock(), policies());
        let hubs = Arc::new(Hubs::default());
        let log = || Arc::new(MemoryLog::new(Arc::clone(&clock) as _, Arc::clone(&hubs) as _, LogOptions::default()));
        let broker = LocalBroker::new(log(), log(), policies);
        let engine = Arc::new(MemoryPresence::shared(Arc::clone(&clock) as _));
        Self { engine, leases: MemoryLeases::new(), hubs, broker: Arc::new(broker), clock }
    }

    fn node(&self, name: &str) -> Node {
        let (cable, life) = (Cable::default(), Lifecycle::new());
        let broker = Far { cable: cable.clone(), end: Arc::clone(&self.broker) as Arc<dyn fanfare_bus::Broker> };
        let hub = Hub::new(HubOptions::default(), policies(), 1);
        self.hubs.0.write().push(Arc::clone(&hub));
        let bus = Bus::new(hub, Arc::new(broker));
        bus.start_worker(&life);
        let leases = Far { cable: cable.clone(), end: Arc::new(self.leases.clone()) as Arc<dyn Leases> };
        let cluster = cluster(Arc::new(leases), &bus, name);
        cluster.start(&life);
        let engine = Far { cable: cable.clone(), end: Arc::clone(&self.engine) as Arc<dyn Presence> };
        let clock = Arc::clone(&self.clock);
        let presence =
            Handle::new(Arc::new(engine), bus.clone(), &cluster, Arc::clone(&clock) as _, Options::default());
        presence.start(&life);
        Node { node: TestNode { presence, bus, clock, life }, cable }
    }
}

fn topics(kind: &str) -> Vec<String> {
    (0..40).map(|n| format!("{kind}:{n}")).collect()
}

/// Who watches each topic.
async fn watchers(node: &TestNode, topics: &[String]) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    for topic in topics {
        watchers.push(Watcher::open(node, topic).await);
    }
    watchers
}

/// Those who watch know what there is, and that is `expected`.
async fn all_know(node: &TestNode, topics: &[String], watchers: &mut [Watcher], expected: &[&str]) {
    for (topic, watcher) in topics.iter().zip(watchers) {
        watcher.catch_up().await;
        let truth = node.members(topic).await;
        let ids: Vec<&str> = truth.members.iter().map(|member| member.id.as_str()).collect();
        assert_eq!(ids, expected, "{topic}");
        assert_eq!(watcher.count, truth.count, "{topic}");
        // A topic that is empty is forgotten, and its revision with it.
        assert!(watcher.rev == truth.rev || truth.count == 0, "{topic}");
        assert_eq!(watcher.members.values().cloned().collect::<Vec<_>>(), truth.members, "{topic}");
    }
}

/// Everybody has joined and left in turn, while the topic was occupied; who is left is `here`.
fn once_each(told: &[String], here: &[&str]) {
    let (mut occupied, mut members) = (false, BTreeSet::new());
    for event in told {
        match event.split_once(' ').unwrap_or((event, "")) {
            ("occupied", _) => assert!(!std::mem::replace(&mut occupied, true), "occupied once: {told:?}"),
            ("vacated", _) => assert!(std::mem::replace(&mut occupied, false) && members.is_empty(), "{told:?}"),
            ("join", name) => assert!(occupied && members.insert(name), "{name} joins once: {told:?}"),
            (_, name) => assert!(members.remove(name), "{name} leaves once: {told:?}"),
        }
    }
    assert_eq!(members.into_iter().collect::<Vec<_>>(), here, "{told:?}");
    assert_eq!(occupied, !here.is_empty());
}

#[tokio::test(start_paused = true)]
async fn members_of_any_node_are_told_everywhere() {
    let place = Place::new();
    let nodes = [place.node("a"), place.node("b"), place.node("c")];
    // The shards are shared out.
    time_passes(DEATH).await;
    let topics = topics("chat");
    let mut watchers = watchers(&nodes[1], &topics).await;
    for topic in &topics {
        for (n, node) in nodes.iter().enumerate() {
            node.enter(topic, &format!("s{n}")).await;
        }
        nodes[0].leave(topic, "s0").await;
    }
    time_passes(1000).await;
    all_know(&nodes[2], &topics, &mut watchers, &["s1", "s2"]).await;
    assert!(watchers.iter().all(|watcher| watcher.read_again == 0), "nothing was missed");
    let most = watchers.iter().map(|watcher| watcher.diffs.len()).max().unwrap();
    assert!(most <= 2, "one of them tells, and tells together what comes together: {most}");
}

#[tokio::test(start_paused = true)]
async fn who_enters_anywhere_is_logged_when_it_is_answered() {
    let place = Place::new();
    let nodes = [place.node("a"), place.node("b"), place.node("c")];
    time_passes(DEATH).await;
    for topic in topics("logged") {
        for (n, node) in nodes.iter().enumerate() {
            node.enter(&topic, &format!("s{n}")).await;
            assert_eq!(shown(&node.log(&topic).await).last().unwrap(), &format!("join s{n}"));
        }
        assert_eq!(nodes[0].log(&topic).await.len(), 4);
    }
}

/// A node dies in the midst of everything.
#[tokio::test(start_paused = true)]
async fn another_goes_on_where_a_dead_node_stopped() {
    let place = Place::new();
    let nodes = [place.node("a"), place.node("b"), place.node("c")];
    time_passes(DEATH).await;
    let topics = topics("logged");
    let mut watchers = watchers(&nodes[1], &topics).await;
    for (at, topic) in topics.iter().enumerate() {
        for (n, node) in nodes.iter().enumerate() {
            // Whoever is to log it may be dead.
            let (key, who) = (key(topic), who(&format!("s{n}")));
            drop(tokio::time::timeout(Duration::from_millis(1), node.presence.enter(&key, &who, None)).await);
        }
        nodes[1].leave(topic, "s1").await;
        if at == 20 {
            nodes[0].cable.cut();
        }
    }
    // Longer than the log knows ids: who goes on looks for what the dead node has logged.
    place.clock.advance(Duration::from_secs(3600));
    time_passes(DEATH).await;
    all_know(&nodes[1], &topics, &mut watchers, &["s2"]).await;
    for (at, topic) in topics.iter().enumerate() {
        let told = shown(&nodes[1].log(topic).await);
        once_each(&told, &["s2"]);
        let joined = told.iter().filter(|told| told.starts_with("join")).count();
        assert_eq!(joined, if at <= 20 { 3 } else { 2 }, "{topic}: {told:?}");
    }
    let left: usize = watchers.iter().flat_map(|watcher| &watcher.diffs).map(|diff| diff.leave.len()).sum();
    assert!(left >= topics.len() + 21, "each of the dead is told of");
    // It is not missed.
    for topic in &topics {
        nodes[2].leave(topic, "s2").await;
    }
    time_passes(1000).await;
    all_know(&nodes[1], &topics, &mut watchers, &[]).await;
    for topic in &topics {
        once_each(&shown(&nodes[1].log(topic).await), &[]);
    }
}

/// A node that was cut off for so long that it was taken for dead: its sessions are still connected.
#[tokio::test(start_paused = true)]
async fn who_was_taken_for_dead_comes_back_with_its_members() {
    let place = Place::new();
    let nodes = [place.node("a"), place.node("b")];
    time_passes(DEATH).await;
    let topics = topics("logged");
    let mut watchers = watchers(&nodes[1], &topics).await;
    for topic in &topics {
        nodes[0].say(topic, "s0@alice", "1").await;
        nodes[0].enter(topic, "gone").await;
        nodes[1].enter(topic, "s1").await;
    }
    nodes[0].presence.update(&key(&topics[0]), &who("s0"), &raw("2")).await.unwrap();
    nodes[0].cable.cut();
    time_passes(DEATH).await;
    all_know(&nodes[1], &topics, &mut watchers, &["s1"]).await;
    // One says goodbye meanwhile.
    nodes[0].gone("gone").await;
    nodes[0].cable.mend();
    time_passes(DEATH).await;
    all_know(&nodes[1], &topics, &mut watchers, &["s0", "s1"]).await;
    let said = |at: usize| watchers[at].members["s0"].data.as_ref().unwrap().get().to_owned();
    assert_eq!((said(0), said(1)), ("2".to_owned(), "1".to_owned()), "what it said last");
    assert_eq!(watchers[0].members["s0"].user.as_ref().unwrap().as_str(), "alice");
    for topic in &topics {
        once_each(&shown(&nodes[1].log(topic).await), &["s0", "s1"]);
    }
    for topic in &topics {
        nodes[0].leave(topic, "s0").await;
    }
    time_passes(DEATH).await;
    all_know(&nodes[1], &topics, &mut watchers, &["s1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_resumes_on_another_node_was_never_gone() {
    let place = Place::new();
    let nodes = [place.node("a"), place.node("b")];
    time_passes(DEATH).await;
    nodes[0].enter("chat:1", "s").await;
    nodes[0].enter("chat:2", "s").await;
    time_passes(1000).await;
    let mut watcher = Watcher::open(&nodes[0], "chat:1").await;
    nodes[0].disconnected("s");
    time_passes(5_000).await;
    assert_eq!(nodes[1].resumed("s").await, ["chat:1", "chat:2"]);
    time_passes(DEATH).await;
    assert_eq!(nodes[0].ids("chat:1").await, ["s"]);
    watcher.catch_up().await;
    assert_eq!(watcher.diffs.len(), 0, "nobody hears of it");
    // From now on it is the other node's.
    nodes[0].cable.cut();
    time_passes(DEATH).await;
    assert_eq!(nodes[1].ids("chat:2").await, ["s"]);
    nodes[1].disconnected("s");
    time_passes(11_000).await;
    assert!(nodes[1].ids("chat:1").await.is_empty() && nodes[1].ids("chat:2").await.is_empty());
    watcher.catch_up().await;
    assert_eq!(watcher.diffs.len(), 1);
}

/// A node that counts for itself.
struct Counted {
    node: Node,
    recorder: PrometheusRecorder,
}

impl std::ops::Deref for Counted {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Counted {
    fn start(place: &Place, name: &str) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let node = metrics::with_local_recorder(&recorder, || place.node(name));
        Self { node, recorder }
    }

    /// How many members it says that it has.
    fn gauge(&self) -> usize {
        let text = self.recorder.handle().render();
        let line = text.lines().find_map(|line| line.strip_prefix("fanfare_presence_members "));
        line.map_or(0, |number| number.parse().unwrap())
    }
}

// 38
#[tokio::test(start_paused = true)]
async fn four_nodes_of_which_one_dies_count_right() {
    let place = Place::new();
    let nodes = ["a", "b", "c", "d"].map(|name| Counted::start(&place, name));
    time_passes(DEATH).await;
    let topics = topics("quick");
    for topic in &topics {
        for (n, node) in nodes.iter().enumerate() {
            node.enter(topic, &format!("s{n}@u{}", n % 2)).await;
            node.enter(topic, &format!("t{n}@v{n}")).await;
        }
        nodes[0].say(topic, "s0@u0", "1").await;
    }
    let gauges = || nodes.each_ref().map(Counted::gauge);
    let occupancy = async |node: &Counted| {
        let keys: Vec<_> = topics.iter().map(|topic| key(topic)).collect();
        let all = node.presence.occupancy(&keys).await.unwrap();
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        (all[0].count, all[0].users)
    };
    assert_eq!((gauges(), occupancy(&nodes[3]).await), ([80; 4], (8, 6)));

    // Its shards go to the others.
    nodes[2].cable.cut();
    time_passes(DEATH).await;
    for at in [0, 1, 3] {
        assert_eq!((nodes[at].gauge(), occupancy(&nodes[at]).await), (80, (6, 5)));
    }
    nodes[2].cable.mend();
    time_passes(DEATH).await;
    assert_eq!((gauges(), occupancy(&nodes[0]).await), ([80; 4], (8, 6)));

    // Who is taken out by another node stays out, also if its own is taken for dead afterwards.
    let removed = nodes[0].presence.remove_user(&Tenant::default(), &UserId::new("v1").unwrap()).await.unwrap();
    time_passes(1).await;
    assert_eq!((removed, gauges()), (topics.len(), [80, 40, 80, 80]));
    nodes[1].cable.cut();
    time_passes(DEATH).await;
    nodes[1].cable.mend();
    time_passes(DEATH).await;
    assert_eq!((gauges(), occupancy(&nodes[0]).await), ([80, 40, 80, 80], (7, 5)));

    // One that resumes elsewhere is that node's.
    nodes[3].disconnected("t3");
    nodes[0].resumed("t3").await;
    time_passes(1000).await;
    assert_eq!(gauges(), [120, 40, 80, 40]);
    for (n, node) in nodes.iter().enumerate() {
        node.gone(&format!("s{n}")).await;
    }
    assert_eq!(gauges(), [80, 0, 40, 0]);
    for topic in &topics {
        nodes[0].leave(topic, "t0").await;
        nodes[0].leave(topic, "t3").await;
        nodes[2].leave(topic, "t2").await;
    }
    assert_eq!((gauges(), occupancy(&nodes[1]).await), ([0; 4], (0, 0)));
}

/// Nodes come and go by turns while everybody enters and leaves.
#[tokio::test(start_paused = true)]
async fn a_rolling_restart_loses_and_doubles_nothing() {
    let place = Place::new();
    let steady = place.node("steady");
    let mut others = BTreeMap::new();
    let topics = topics("logged");
    let mut watchers = watchers(&steady, &topics).await;
    for round in 0..6_u32 {
        others.insert(round, place.node(&format!("n{round}")));
        time_passes(3_000).await;
        for (at, topic) in topics.iter().enumerate() {
            let name = format!("s{round}");
            let node = others.get(&round).filter(|_| at % 2 == 0).map_or(&*steady, |node| &**node);
            node.enter(topic, &name).await;
            if at == 20
                && let Some(old) = others.remove(&round.wrapping_sub(1))
            {
                // As a server does: its clients go elsewhere, and then it stops.
                for before in 0..round {
                    drop(steady.resumed(&format!("s{before}")).await);
                }
                old.life.drain();
                time_passes(2_000).await;
                old.life.stop();
                old.life.ended().await;
            }
        }
        time_passes(2_000).await;
    }
    time_passes(DEATH).await;
    let here = ["s0", "s1", "s2", "s3", "s4", "s5"];
    all_know(&steady, &topics, &mut watchers, &here).await;
    for topic in &topics {
        once_each(&shown(&steady.log(topic).await), &here);
        for name in here {
            let count = shown(&steady.log(topic).await).iter().filter(|told| **told == format!("join {name}")).count();
            assert_eq!(count, 1, "{name} in {topic}");
        }
    }
}

/// Small numbers without a pattern (xorshift), so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Everything at once: who enters and leaves where, and which cable is cut, is left to chance.
async fn play(seed: u64) {
    let (place, mut dice) = (Place::new(), Dice(seed));
    let nodes = [place.node("a"), place.node("b"), place.node("c")];
    time_passes(DEATH).await;
    let topics = &topics("logged")[..6];
    let mut watchers = watchers(&place.node("watches"), topics).await;
    // Whether a session is in a topic, if that is known.
    let mut expected: BTreeMap<(String, usize), Option<bool>> = BTreeMap::new();
    for _ in 0..200 {
        let (n, at) = (usize::try_from(dice.roll(3)).unwrap(), usize::try_from(dice.roll(6)).unwrap());
        let (node, topic, name) = (&nodes[n], key(&topics[at]), format!("s{n}-{}", dice.roll(4)));
        match dice.roll(12) {
            0..=5 => {
                let entered = node.presence.enter(&topic, &who(&name), None).await;
                expected.insert((name, at), entered.is_ok().then_some(true));
            }
            6..=8 => {
                let left = node.presence.leave(&topic, &session(&name)).await;
                expected.insert((name, at), left.is_ok().then_some(false));
            }
            9 => node.cable.cut(),
            10 => node.cable.mend(),
            _ => {
                // Mostly a moment; now and then so long that the dead are noticed.
                let millis = if dice.roll(4) == 0 { DEATH } else { dice.roll(500) };
                place.clock.advance(Duration::from_millis(millis));
                time_passes(millis).await;
            }
        }
    }
    for node in &nodes {
        node.cable.mend();
    }
    time_passes(3 * DEATH).await;
    for (at, topic) in topics.iter().enumerate() {
        let ids = nodes[0].ids(topic).await;
        let here: Vec<&str> = ids.iter().map(String::as_str).collect();
        all_know(&nodes[0], &topics[at..=at], &mut watchers[at..=at], &here).await;
        once_each(&shown(&nodes[0].log(topic).await), &here);
        for ((name, _), is_in) in expected.iter().filter(|((_, of), _)| *of == at) {
            assert!(is_in.is_none_or(|is_in| is_in == here.contains(&name.as_str())), "{name} in {topic}: {here:?}");
        }
    }
}

#[test]
fn whatever_breaks_all_is_right_in_the_end() {
    for seed in 1..=25 {
        let played = std::panic::catch_unwind(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(true).build().unwrap().block_on(play(seed * 7919));
        });
        assert!(played.is_ok(), "with seed {seed}");
    }
}
