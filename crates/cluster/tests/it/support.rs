//! Nodes on one store of leases and one bus, which can be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies};
use fanfare_cluster::{Error, Fence, Handle, Lease, Leases, MemoryLeases, NodeInfo, Options, Ownership};
use fanfare_history::memory::{MemoryLog, Options as LogOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, ManualClock, Timestamp};

pub(crate) const SHARDS: u16 = 64;

/// What the nodes share.
pub(crate) struct Cluster {
    pub(crate) leases: MemoryLeases,
    pub(crate) bus: Bus,
    life: Lifecycle,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let life = Lifecycle::new();
        Self { leases: MemoryLeases::new(), bus: bus(&life), life }
    }

    /// A node that takes part.
    pub(crate) fn node(&self, name: &str) -> Node {
        self.node_on(name, self.bus.clone())
    }

    pub(crate) fn node_on(&self, name: &str, bus: Bus) -> Node {
        let (cut, life) = (Arc::new(AtomicBool::new(false)), Lifecycle::new());
        let leases = Arc::new(Reached { leases: self.leases.clone(), cut: Arc::clone(&cut) });
        let info = NodeInfo::new(name, vec!["ws".to_owned()], Timestamp::from_seconds(1), "1.0.0").expect("a node");
        let handle = Handle::new(leases, bus, info, Options::default());
        let shards = handle.ownership("presence", SHARDS);
        handle.start(&life);
        Node { handle, shards, life, cut }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// A bus within this process.
pub(crate) fn bus(life: &Lifecycle) -> Bus {
    let policies = Arc::new(Policies::new(&BTreeMap::new()));
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
    let log = || Arc::new(MemoryLog::new(Arc::clone(&clock), Arc::clone(&hub) as _, LogOptions::default()));
    let broker = LocalBroker::new(log(), log(), policies);
    let bus = Bus::new(hub, Arc::new(broker));
    bus.start_worker(life);
    bus
}

pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) shards: Ownership,
    pub(crate) life: Lifecycle,
    cut: Arc<AtomicBool>,
}

impl Node {
    pub(crate) fn owned(&self) -> BTreeSet<u16> {
        self.shards.shards().keys().copied().collect()
    }

    pub(crate) fn fence(&self, shard: u16) -> Option<Fence> {
        self.shards.shards().get(&shard).copied()
    }

    /// From now on the store does not answer this node, nor refuse it.
    pub(crate) fn cut_off(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// No shard is owned by two of the nodes.
pub(crate) fn assert_apart(nodes: &[&Node]) {
    let mut seen = BTreeSet::new();
    for node in nodes {
        for shard in node.owned() {
            assert!(seen.insert(shard), "shard {shard} has two owners");
        }
    }
}

/// Whether the nodes own all shards between them.
pub(crate) fn own_all(nodes: &[&Node]) -> bool {
    nodes.iter().map(|node| node.owned().len()).sum::<usize>() == usize::from(SHARDS)
}

/// Lets time pass until `done`, and says how much did. No shard ever has two owners among `nodes`.
pub(crate) async fn until(nodes: &[&Node], done: impl Fn() -> bool) -> Duration {
    let begun = tokio::time::Instant::now();
    loop {
        assert_apart(nodes);
        if done() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As [`until`], until the nodes own everything.
pub(crate) async fn settled(nodes: &[&Node]) -> Duration {
    until(nodes, || own_all(nodes) && nodes.iter().all(|node| !node.owned().is_empty())).await
}

/// Leases as a node reaches them, or not.
struct Reached {
    leases: MemoryLeases,
    cut: Arc<AtomicBool>,
}

impl Reached {
    /// A call that is made while the node is cut off has no effect, and fails when an engine's time-out would be over.
    async fn reach<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if self.cut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(Error::unavailable("cut off"));
        }
        call.await
    }
}

#[async_trait]
impl Leases for Reached {
    fn name(&self) -> &'static str {
        "reached"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        self.reach(self.leases.acquire(name, holder, ttl)).await
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        self.reach(self.leases.renew(name, fence, ttl)).await
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        self.reach(self.leases.release(name, fence)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        self.reach(self.leases.list(prefix)).await
    }
}
