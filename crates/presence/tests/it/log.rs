//! Joins and leaves in the logs of topics: each once, in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use fanfare_bus::{
    Admin, Append, Appended, Bus, Head, Hub, HubOptions, LocalBroker, Page, Read, TopicPage, TopicsQuery,
};
use fanfare_history::{Capabilities, Error as LogError, Log};
use fanfare_model::ManualClock;
use fanfare_presence::{Error, Options};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::support::{TestNode, clock, key, memory_log, node, on_bus, policies, shown, time_passes, who};

#[tokio::test(start_paused = true)]
async fn every_join_and_leave_is_logged_once_and_in_order() {
    let node = node(Options::default());
    node.enter("logged:1", "a@alice").await;
    assert_eq!(shown(&node.log("logged:1").await), ["occupied", "join a"], "logged when it is answered");
    node.enter("logged:1", "b").await;
    node.say("logged:1", "b", "1").await;
    node.leave("logged:1", "a").await;
    node.enter("logged:1", "a").await;
    node.disconnected("b");
    node.gone("a").await;
    time_passes(100).await;
    let events = node.log("logged:1").await;
    let expected = ["occupied", "join a", "join b", "leave a", "join a", "leave a", "leave b", "vacated"];
    assert_eq!(shown(&events), expected);
    let join = &events[1].draft;
    assert_eq!(join.user.as_ref().unwrap().as_str(), "alice");
    let member: fanfare_presence::Member = serde_json::from_slice(join.data.bytes()).unwrap();
    assert_eq!((member.id.as_str(), member.user), ("a", join.user.clone()));
    node.enter("rooms:1", "a").await;
    node.enter("rooms:1", "b").await;
    node.leave("rooms:1", "a").await;
    node.leave("rooms:1", "b").await;
    node.enter("rooms:1", "b").await;
    time_passes(100).await;
    assert_eq!(shown(&node.log("rooms:1").await), ["occupied", "vacated", "occupied"]);
    assert!(node.log("chat:1").await.is_empty());
}

/// What a topic's rules say of names is meant for publishers.
#[tokio::test(start_paused = true)]
async fn rules_about_events_do_not_refuse_them() {
    let node = node(Options::default());
    node.enter("strict:1", "a").await;
    assert_eq!(shown(&node.log("strict:1").await), ["join a"]);
}

/// How a log fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Fails {
    Not,
    /// Nothing is stored.
    Before,
    /// It is stored, and nobody is told.
    After,
}

/// A log that can be made to fail.
struct Fragile {
    log: Arc<dyn Log>,
    fails: AtomicU8,
    tried: tokio::sync::Notify,
}

impl Fragile {
    fn now(&self, fails: Fails) {
        self.fails.store(fails as u8, Ordering::SeqCst);
    }

    /// Waits until something is appended from now on, or tried to be.
    async fn tried(&self) {
        tokio::time::timeout(Duration::from_secs(60), self.tried.notified()).await.unwrap();
    }
}

impl Log for Fragile {
    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, LogError>>> {
        let fails = self.fails.load(Ordering::SeqCst);
        Box::pin(async move {
            let size = batch.len();
            self.tried.notify_waiters();
            let unavailable = || LogError::Unavailable("on purpose".into());
            if fails == Fails::Before as u8 {
                return (0..size).map(|_| Err(unavailable())).collect();
            }
            let answers = self.log.append(batch).await;
            if fails == Fails::After as u8 {
                answers.into_iter().map(|_| Err(unavailable())).collect()
            } else {
                answers
            }
        })
    }

    fn heads(&self, topics: Vec<fanfare_model::TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, LogError>> {
        self.log.heads(topics)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, LogError>> {
        self.log.read(read)
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, LogError>> {
        self.log.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, LogError>> {
        self.log.admin(change)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        self.log.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.close()
    }
}

fn fragile() -> (Bus, Arc<Fragile>, Arc<ManualClock>) {
    let (clock, policies) = (clock(), policies());
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let log = Arc::new(Fragile {
        log: memory_log(&clock, &hub),
        fails: AtomicU8::new(Fails::Not as u8),
        tried: tokio::sync::Notify::new(),
    });
    let broker = LocalBroker::new(Arc::clone(&log) as _, memory_log(&clock, &hub), policies);
    (Bus::new(hub, Arc::new(broker)), log, clock)
}

#[tokio::test(start_paused = true)]
async fn what_a_log_does_not_take_is_logged_when_it_does() {
    let (bus, log, clock) = fragile();
    let node = on_bus(bus, clock, Options { log_waiting_max: 4, ..Options::default() });
    log.now(Fails::Before);
    let refused = node.presence.enter(&key("logged:1"), &who("a"), None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    assert_eq!(node.ids("logged:1").await, ["a"], "it is a member all the same");
    log.now(Fails::After);
    let refused = node.presence.enter(&key("logged:1"), &who("b"), None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
    node.leave("logged:1", "a").await;
    time_passes(1).await;
    let full = node.presence.enter(&key("logged:1"), &who("c"), None).await;
    assert!(matches!(full, Err(Error::Full)), "so many may wait");
    log.now(Fails::Not);
    node.enter("chat:1", "c").await;
    time_passes(2000).await;
    assert_eq!(shown(&node.log("logged:1").await), ["occupied", "join a", "join b", "leave a"]);
    node.enter("logged:1", "c").await;
    assert_eq!(shown(&node.log("logged:1").await).last().unwrap(), "join c");
}

async fn stop(node: TestNode) {
    node.life.stop();
    node.life.ended().await;
}

fn at(path: &Path) -> Options {
    Options { path: Some(path.to_owned()), ..Options::default() }
}

/// The process ends at each point between noting and having logged. Longer after that than any window.
#[tokio::test]
async fn what_an_earlier_process_left_is_ended_once() {
    for fails in [Fails::Not, Fails::Before, Fails::After] {
        let dir = tempfile::tempdir().unwrap();
        let (bus, log, clock) = fragile();
        let options = at(dir.path());
        let node = on_bus(bus.clone(), Arc::clone(&clock), options.clone());
        for name in ["a", "b"] {
            node.enter("logged:1", name).await;
        }
        node.enter("rooms:1", "a").await;
        log.now(fails);
        let tried = log.tried();
        node.leave("logged:1", "a").await;
        node.leave("rooms:1", "a").await;
        // It is a member, though nobody waits for its join to be logged.
        assert!(node.presence.enter(&key("logged:1"), &who("c"), None).now_or_never().is_none());
        tried.await;
        stop(node).await;
        clock.advance(Duration::from_secs(3600));
        log.now(Fails::Not);
        for _ in 0..2 {
            let node = on_bus(bus.clone(), Arc::clone(&clock), options.clone());
            // Logged after everything that was left.
            node.enter("strict:1", "marker").await;
            let mut told = shown(&node.log("logged:1").await);
            assert_eq!(told[..3], ["occupied", "join a", "join b"], "{fails:?}");
            assert_eq!(told.pop().unwrap(), "vacated", "{fails:?}: {told:?}");
            let mut between = told.split_off(3);
            between.sort();
            // The join of `c` may have been too late even to be noted on the disk; then so is its leave.
            let with_c = between.iter().any(|told| told == "join c");
            let expected: &[_] =
                if with_c { &["join c", "leave a", "leave b", "leave c"] } else { &["leave a", "leave b"] };
            assert_eq!(between, expected, "{fails:?}");
            assert_eq!(shown(&node.log("rooms:1").await), ["occupied", "vacated"], "{fails:?}");
            stop(node).await;
        }
    }
}
