//! An engine that fails over to a machine that has not got the latest events: readers are told, and get what comes then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_bus::contract::Carrier;
use fanfare_bus::{
    Admin, Append, Appended, Composed, Head, Hub, HubOptions, Page, PolicyOptions, Read, ReadFrom, Receive as _,
    TopicPage, TopicsQuery,
};
use fanfare_history::memory::MemoryLog;
use fanfare_history::{Announce as _, Capabilities, Direction, Error, Keep, Log, Restore as _, Stretch};
use fanfare_model::{Data, Draft, Event, Gap, GapReason, ManualClock, StartFrom, Timestamp, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::support::{Got, TestBus, events, key, memory_log, policies, start};

/// A log that can be another one from one moment to the next.
struct Machines {
    now: Mutex<Arc<MemoryLog>>,
    /// How often the head of a topic was asked for.
    asked: Mutex<HashMap<TopicKey, usize>>,
    /// How many calls that was.
    calls: Mutex<usize>,
    down: AtomicBool,
}

impl Machines {
    fn now(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.now.lock())
    }

    fn asked(&self, topic: &str) -> usize {
        self.asked.lock().get(&key(topic)).copied().unwrap_or(0)
    }
}

impl Log for Machines {
    fn capabilities(&self) -> Capabilities {
        self.now().capabilities()
    }
    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        let log = self.now();
        Box::pin(async move { log.append(batch).await })
    }
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        *self.calls.lock() += 1;
        for topic in &topics {
            *self.asked.lock().entry(topic.clone()).or_default() += 1;
        }
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Error::Unavailable("it is down".into())) });
        }
        let log = self.now();
        Box::pin(async move { log.heads(topics).await })
    }
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        let log = self.now();
        Box::pin(async move { log.read(read).await })
    }
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        let log = self.now();
        Box::pin(async move { log.topics(query).await })
    }
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        let log = self.now();
        Box::pin(async move { log.admin(change).await })
    }
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(0) })
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

struct Cluster {
    test: TestBus,
    hub: Arc<Hub>,
    carrier: Arc<Carrier>,
    clock: Arc<ManualClock>,
    machines: Arc<Machines>,
}

fn cluster(head_check_interval: Duration) -> Cluster {
    let policies = policies(PolicyOptions::default());
    let interval = fanfare_model::Duration(head_check_interval);
    let options = HubOptions { head_check_interval: interval, ..HubOptions::default() };
    let hub = Hub::new(options, Arc::clone(&policies), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
    let carrier = Carrier::new(Arc::clone(&clock) as _);
    let machines = Arc::new(Machines {
        now: Mutex::new(memory_log(&clock, carrier.announcer())),
        asked: Mutex::default(),
        calls: Mutex::default(),
        down: AtomicBool::new(false),
    });
    let fanout = carrier.join(Arc::clone(&hub) as _);
    let broker = Composed::new(Arc::clone(&machines) as _, fanout, policies);
    let test = start(Arc::clone(&hub), Arc::new(broker), Arc::clone(&clock));
    Cluster { test, hub, carrier, clock, machines }
}

/// An interval that no test will live to see.
const NEVER: Duration = Duration::from_secs(3600);

impl Cluster {
    /// Another machine takes over, which has the first `kept` events of the topic `t`.
    async fn fail_over(&self, kept: usize) {
        let whole = self.all().await;
        let replica = memory_log(&self.clock, self.carrier.announcer());
        let stretch = Stretch {
            topic: key("t"),
            keep: Arc::new(Keep::default()),
            head: whole.head,
            events: whole.events[..kept].to_vec(),
        };
        replica.restore(stretch).await.unwrap();
        *self.machines.now.lock() = replica;
    }

    async fn all(&self) -> Page {
        let (limit, bytes_max) = (usize::MAX, usize::MAX);
        let (topic, from, direction) = (key("t"), ReadFrom::End, Direction::Forward);
        self.machines.read(Read { topic, from, direction, limit, bytes_max, age_max: None }).await.unwrap()
    }
}

fn fork(from: u64, to: u64) -> Got {
    Got::Gap(Gap { from, to, reason: GapReason::Fork })
}

fn is_fork(got: &Got) -> bool {
    matches!(got, Got::Gap(gap) if gap.reason == GapReason::Fork)
}

#[tokio::test]
async fn a_head_that_went_back_is_a_fork() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    cluster.test.publish("t", 1..=20).await;
    assert_eq!(listener.until_event(20).await, events(1..=20));
    cluster.fail_over(15).await;
    cluster.hub.lost();
    listener.until(|got| got.iter().any(is_fork)).await;
    assert_eq!(listener.got[20..], [fork(21, 15)]);
    cluster.test.publish("t", 100..=103).await;
    listener.until_event(103).await;
    assert_eq!(listener.got[21..], events(100..=103));
}

#[tokio::test]
async fn what_is_read_back_of_the_life_before_is_not_given_again() {
    let cluster = cluster(NEVER);
    let (mut listener, mut other) = (cluster.test.listener(), cluster.test.listener());
    listener.subscribe("t", StartFrom::Now).await;
    other.subscribe("t", StartFrom::Now).await;
    let positions = cluster.test.publish("t", 1..=20).await;
    listener.until_event(20).await;
    other.until_event(20).await;
    cluster.fail_over(15).await;
    cluster.hub.lost();
    other.until(|got| got.iter().any(is_fork)).await;
    let mut returned = cluster.test.listener();
    returned.subscribe("t", StartFrom::After(positions[9])).await;
    assert_eq!(returned.until_event(15).await, events(11..=15));
    listener.until(|got| got.iter().any(is_fork)).await;
    assert_eq!(listener.got[20..], [fork(21, 15)]);
}

#[tokio::test]
async fn an_offset_that_is_used_again_is_a_fork() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    cluster.test.publish("t", 1..=20).await;
    listener.until_event(20).await;
    cluster.fail_over(15).await;
    // Nobody says that there was a failover. Offset 16 is of another event than the reader has.
    cluster.test.publish("t", 100..=100).await;
    listener.until(|got| got.iter().any(is_fork)).await;
    cluster.test.publish("t", 101..=105).await;
    listener.until_event(105).await;
    assert_eq!(listener.got[20..], [vec![fork(21, 16)], events(101..=105)].concat());
}

#[tokio::test]
async fn a_head_that_went_on_another_way_is_a_fork() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    cluster.test.publish("t", 1..=20).await;
    listener.until_event(20).await;
    cluster.fail_over(15).await;
    // None of it is announced here, and by then the head is further on than it was.
    let deaf = memory_log(&cluster.clock, Arc::new(Nobody));
    let whole = cluster.all().await;
    let stretch = Stretch { topic: key("t"), keep: Arc::new(Keep::default()), head: whole.head, events: whole.events };
    deaf.restore(stretch).await.unwrap();
    *cluster.machines.now.lock() = deaf;
    cluster.test.publish("t", 100..=109).await;
    cluster.hub.lost();
    listener.until(|got| got.iter().any(is_fork)).await;
    assert_eq!(listener.got[20..], [fork(21, 25)]);
}

struct Nobody;

impl fanfare_history::Announce for Nobody {
    fn stored(&self, _: &[Arc<Event>]) {}
    fn reset(&self, _: &fanfare_history::Reset) {}
}

#[tokio::test]
async fn what_comes_after_offsets_that_jumped_is_delivered() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    let placed = cluster.test.publish("t", 1..=20).await;
    listener.until_event(20).await;
    cluster.fail_over(15).await;
    // The engine knows that it may have lost something, and goes on far beyond it.
    let last = cluster.all().await.events.pop().unwrap();
    let draft = Draft::new(Data::text("1020"));
    let next = Event { offset: 1020, prev: last.offset, draft, ..(*last).clone() };
    let head = Head { last: next.position(), first: 1, events: 16, bytes: 0, time: Some(next.time) };
    let (next, keep) = (Arc::new(next), Arc::new(Keep::default()));
    let stretch = Stretch { topic: key("t"), keep, head, events: vec![Arc::clone(&next)] };
    cluster.machines.now().restore(stretch).await.unwrap();
    cluster.hub.stored(&[next]);
    cluster.test.publish("t", 1021..=1025).await;
    listener.until_event(1025).await;
    assert_eq!(listener.got[20..], [vec![fork(21, 15)], events(1020..=1025)].concat());
    // Who held a position that was lost is told when it comes back; who held one before that is not.
    for (held, told) in [(placed[19], Some(GapReason::Fork)), (placed[14], None)] {
        let subscribed = cluster.test.listener().subscribe("t", StartFrom::After(held)).await;
        assert_eq!(subscribed.gap.map(|gap| gap.reason), told, "{held}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_of_what_is_not_there_is_void() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    cluster.test.publish("t", 1..=5).await;
    listener.until_event(5).await;
    let last = cluster.all().await.events.pop().unwrap();
    let ghost = Event { offset: 9, prev: 8, draft: Draft::new(Data::text("9999")), ..(*last).clone() };
    cluster.hub.stored(&[Arc::new(ghost)]);
    cluster.test.publish("t", 6..=7).await;
    listener.until_event(7).await;
    // Until the hub has given up on it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.test.publish("t", 8..=12).await;
    listener.until_event(12).await;
    assert_eq!(listener.got, events(1..=12));
}

#[tokio::test(start_paused = true)]
async fn only_silent_topics_are_compared() {
    let cluster = cluster(Duration::from_secs(1));
    let mut listener = cluster.test.listener();
    listener.subscribe("busy", StartFrom::Now).await;
    listener.subscribe("quiet", StartFrom::Now).await;
    let before = (cluster.machines.asked("busy"), cluster.machines.asked("quiet"));
    for n in 1..=100 {
        cluster.test.publish("busy", n..=n).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (busy, quiet) = (cluster.machines.asked("busy") - before.0, cluster.machines.asked("quiet") - before.1);
    // The first round may come before the first event.
    assert!(busy <= 1 && (8..=11).contains(&quiet), "busy {busy}, quiet {quiet}");
}

#[tokio::test(start_paused = true)]
async fn comparing_is_spread_and_bounded() {
    let cluster = cluster(Duration::from_secs(1));
    let mut listener = cluster.test.listener();
    for n in 0..2000 {
        listener.subscribe(&format!("many:{n}"), StartFrom::Now).await;
    }
    let before = *cluster.machines.calls.lock();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let calls = *cluster.machines.calls.lock() - before;
    // Eight parts each second, in one batch each.
    assert!((70..=90).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_flaps_is_not_asked_more_than_needed_and_one_that_is_down_is_asked_again() {
    let cluster = cluster(NEVER);
    let mut listener = cluster.test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    let before = cluster.machines.asked("t");
    for _ in 0..1000 {
        cluster.hub.lost();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = cluster.machines.asked("t") - before;
    assert!((1..=2).contains(&asked), "{asked} times");
    // Something is missed while it is down.
    let quiet = memory_log(&cluster.clock, Arc::new(Nobody));
    let head = cluster.machines.heads(vec![key("t")]).await.unwrap()[0];
    let stretch = Stretch { topic: key("t"), keep: Arc::new(Keep::default()), head, events: Vec::new() };
    quiet.restore(stretch).await.unwrap();
    *cluster.machines.now.lock() = quiet;
    cluster.test.publish("t", 1..=3).await;
    cluster.machines.down.store(true, Ordering::SeqCst);
    cluster.hub.lost();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(listener.got.is_empty());
    cluster.machines.down.store(false, Ordering::SeqCst);
    assert_eq!(listener.until_event(3).await, events(1..=3));
}
