//! A node over a log that is as far away as a network makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_bus::{
    Admin, Append, Appended, Head, Hub, HubOptions, LocalBroker, Page, PolicyOptions, Read, TopicPage, TopicsQuery,
};
use fanfare_history::memory::MemoryLog;
use fanfare_history::{Capabilities, Error, Log};
use fanfare_model::{ManualClock, Position, Timestamp, TopicKey};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::support::{TestBus, memory_log, policies, start};

/// A log that counts how often it is read, and can be slow or out of reach.
pub(crate) struct Far {
    log: Arc<MemoryLog>,
    pub(crate) reads: AtomicUsize,
    pub(crate) down: AtomicBool,
    /// Answers are under way until this is unset.
    pub(crate) slow: watch::Sender<bool>,
}

impl Log for Far {
    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }
    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.log.append(batch)
    }
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.log.heads(topics)
    }
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(async move {
            // Over a network: others have their turn before it answers.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(Error::Unavailable("it is down".into()));
            }
            let page = self.log.read(read).await;
            let mut slow = self.slow.subscribe();
            slow.wait_for(|slow| !slow).await.expect("its sender lives as long");
            page
        })
    }
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.log.topics(query)
    }
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.log.admin(change)
    }
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.log.sweep()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.log.close()
    }
}

/// A node with empty rings over a log in which the topic `t` has so many events.
pub(crate) async fn node(options: HubOptions, last: u64) -> (TestBus, Arc<Far>, Vec<Position>) {
    let policies = policies(PolicyOptions::default());
    let hub = Hub::new(options, Arc::clone(&policies), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000)));
    let log = Far {
        log: memory_log(&clock, Arc::clone(&hub) as _),
        reads: AtomicUsize::new(0),
        down: AtomicBool::new(false),
        slow: watch::Sender::new(false),
    };
    let log = Arc::new(log);
    let ephemeral = memory_log(&clock, Arc::clone(&hub) as _);
    let broker = LocalBroker::new(Arc::clone(&log) as _, ephemeral, policies);
    let test = start(hub, Arc::new(broker), clock);
    // Nobody listens yet, so these are in no ring.
    let positions = test.publish("t", 1..=last).await;
    (test, log, positions)
}
