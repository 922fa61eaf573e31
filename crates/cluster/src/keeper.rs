//! Keeping the leases of a node: that it is alive, in which spaces it takes part, and what it owns there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{Notify, SetOnce, watch};
use tokio::time::Instant;

use crate::error::Error;
use crate::lease::{Fence, Leases};
use crate::metrics::Handles;
use crate::node::{NodeId, NodeInfo};
use crate::options::Options;
use crate::ownership::{Ownership, Space};
use crate::rendezvous;

/// How soon is tried again what did not succeed: to acquire a shard that another node has not let go of, or a call that
/// failed. What a shard goes without an owner when it moves.
const RETRY: Duration = Duration::from_millis(500);
/// Calls of the store that are under way at once: a round trip is then shared by so many shards.
const CALLS: usize = 16;
/// What is heard of changes within this time is one reason to look: when many nodes start, each tells of it.
const GATHER: Duration = Duration::from_millis(50);

/// What begins the names of the leases of nodes.
const NODES: &str = "node/";

pub(crate) struct Keeper {
    leases: Arc<dyn Leases>,
    pub(crate) node: NodeInfo,
    pub(crate) options: Options,
    nodes: watch::Sender<Arc<Vec<NodeInfo>>>,
    spaces: Mutex<Vec<Arc<Taking>>>,
    /// There is something to do before the next heartbeat.
    wake: Arc<Notify>,
    /// Another node has told of a change.
    heard: Notify,
    /// Something has changed that other nodes want to know of at once.
    pub(crate) changed: Notify,
    life: Mutex<Option<Lifecycle>>,
    /// Set when this node counts as alive and knows who else is.
    pub(crate) joined: SetOnce<()>,
    /// Whether the store failed at the last try, so that this is logged once.
    failing: AtomicBool,
    pub(crate) metrics: Handles,
}

/// A space in which this node takes part.
struct Taking {
    space: Arc<Space>,
    part: Kept,
}

/// A lease that this node wants to hold as long as it lives.
struct Kept {
    name: String,
    held: Mutex<Option<Fence>>,
}

impl Kept {
    fn new(name: String) -> Self {
        Self { name, held: Mutex::new(None) }
    }
}

/// How a pass ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Everything is as it should be.
    Settled,
    /// Something is to be tried again soon.
    Again,
}

impl Pass {
    fn and(self, other: Self) -> Self {
        if self == Self::Settled { other } else { self }
    }
}

impl Keeper {
    pub(crate) fn new(leases: Arc<dyn Leases>, node: NodeInfo, options: Options) -> Self {
        let nodes = watch::Sender::new(Arc::new(vec![node.clone()]));
        Self {
            leases,
            node,
            options,
            nodes,
            spaces: Mutex::default(),
            wake: Arc::default(),
            heard: Notify::new(),
            changed: Notify::new(),
            life: Mutex::default(),
            joined: SetOnce::new(),
            failing: AtomicBool::new(false),
            metrics: Handles::new(),
        }
    }

    /// The nodes that were alive at the last look.
    pub(crate) fn nodes(&self) -> watch::Receiver<Arc<Vec<NodeInfo>>> {
        self.nodes.subscribe()
    }

    /// Looks who is alive now.
    pub(crate) async fn look(&self) -> Result<Arc<Vec<NodeInfo>>, Error> {
        let listed = self.leases.list(NODES).await?;
        let mut nodes = Vec::with_capacity(listed.len());
        for lease in listed {
            match serde_json::from_str::<NodeInfo>(&lease.holder) {
                Ok(node) => nodes.push(node),
                // A later version may say it in another way; it is left out rather than stopping this one.
                Err(error) => tracing::warn!(lease = lease.name, error = %error, "a node's record cannot be read"),
            }
        }
        // Also before its lease is there, this node is one.
        if !nodes.iter().any(|node| node.id == self.node.id) {
            nodes.push(self.node.clone());
        }
        nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let nodes = Arc::new(nodes);
        self.metrics.nodes.set(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        self.nodes.send_if_modified(|known| {
            let changed = *known != nodes;
            if changed {
                *known = Arc::clone(&nodes);
            }
            changed
        });
        Ok(nodes)
    }

    /// Takes part in a space from now on. Again returns the same.
    pub(crate) fn take_part(self: &Arc<Self>, name: &'static str, shards: u16) -> Ownership {
        let mut spaces = self.spaces.lock();
        if let Some(taking) = spaces.iter().find(|taking| taking.space.name == name) {
            assert_eq!(taking.space.shards, shards, "the space `{name}` has as many shards for all");
            return Ownership { space: Arc::clone(&taking.space) };
        }
        let space = Arc::new(Space::new(name, shards, Arc::clone(&self.wake)));
        let part = Kept::new(format!("in/{name}/{}", self.node.id));
        spaces.push(Arc::new(Taking { space: Arc::clone(&space), part }));
        if let Some(life) = &*self.life.lock() {
            end_in_time(Arc::clone(&space), life);
        }
        self.wake.notify_one();
        Ownership { space }
    }

    /// Begins to keep leases, until the hard stop; then they are released.
    pub(crate) fn start(self: &Arc<Self>, life: &Lifecycle) {
        {
            let spaces = self.spaces.lock();
            spaces.iter().for_each(|taking| end_in_time(Arc::clone(&taking.space), life));
            *self.life.lock() = Some(life.clone());
        }
        let (keeper, life_of_task) = (Arc::clone(self), life.clone());
        life.spawn(TaskKind::Critical, "keep leases", async move { keeper.keep(&life_of_task).await });
    }

    /// Something may be otherwise than at the last look: there is no need to wait for the next heartbeat.
    pub(crate) fn look_soon(&self) {
        self.heard.notify_one();
    }

    async fn woken(&self) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = self.heard.notified() => tokio::time::sleep(GATHER).await,
        }
    }

    async fn keep(&self, life: &Lifecycle) {
        let alive = Kept::new(format!("{NODES}{}", self.node.id));
        let mut withdrawn = false;
        loop {
            let stopping = life.soft().is_cancelled();
            let pass = tokio::select! {
                pass = self.pass(&alive, stopping) => pass,
                () = life.hard().cancelled() => break,
            };
            let outcome = pass.inspect_err(|error| self.failed(error));
            if outcome.is_ok() && self.failing.swap(false, Ordering::Relaxed) {
                tracing::info!(engine = self.leases.name(), "leases are available again");
            }
            let every =
                if outcome.is_ok_and(|pass| pass == Pass::Settled) { self.options.heartbeat.get() } else { RETRY };
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.woken() => {}
                () = life.soft().cancelled(), if !withdrawn => withdrawn = true,
                () = life.hard().cancelled() => break,
            }
        }
        self.release_all(&alive).await;
    }

    /// Renews what is held, looks who is there, and acquires and releases what has changed hands by that.
    async fn pass(&self, alive: &Kept, stopping: bool) -> Result<Pass, Error> {
        let holder = serde_json::to_string(&self.node).unwrap_or_default();
        let mut pass = self.keep_one(alive, &holder).await?;
        self.look().await?;
        // Again has no effect.
        let _ = self.joined.set(());
        let spaces = self.spaces.lock().clone();
        for taking in &spaces {
            pass = pass.and(self.attend(taking, stopping).await?);
        }
        Ok(pass)
    }

    /// Renews a lease of this node, or acquires it.
    async fn keep_one(&self, kept: &Kept, holder: &str) -> Result<Pass, Error> {
        let ttl = self.options.lease.get();
        let held = *kept.held.lock();
        if let Some(fence) = held {
            if self.leases.renew(&kept.name, fence, ttl).await? {
                return Ok(Pass::Settled);
            }
            *kept.held.lock() = None;
        }
        let fence = self.leases.acquire(&kept.name, holder, ttl).await?;
        *kept.held.lock() = fence;
        if fence.is_some() {
            self.changed.notify_one();
        }
        // Held although not by us: the answer to an earlier try was lost. It ends with its time.
        Ok(if fence.is_some() { Pass::Settled } else { Pass::Again })
    }

    /// What there is to do in one space.
    async fn attend(&self, taking: &Taking, stopping: bool) -> Result<Pass, Error> {
        let space = &taking.space;
        let part = if stopping { self.withdraw(&taking.part).await? } else { self.keep_one(&taking.part, "").await? };
        let wanted = self.wanted(space, stopping).await?;
        let renew = space.sort(&wanted).into_iter().map(|(shard, fence)| self.renew(space, shard, fence));
        self.all(renew).await?;
        let left = space.take_left();
        let has_left = !left.is_empty();
        self.all(left.into_iter().map(|(shard, fence)| self.release(space, shard, fence))).await?;
        if has_left {
            self.changed.notify_one();
        }
        let missing: Vec<u16> = wanted.difference(&space.known()).copied().collect();
        self.all(missing.into_iter().map(|shard| self.acquire(space, shard))).await?;
        // What another node still holds, or this one has yet to let go of, becomes free soon.
        let settled = if space.known() == wanted { Pass::Settled } else { Pass::Again };
        Ok(part.and(settled))
    }

    /// The shards that this node should own.
    async fn wanted(&self, space: &Space, stopping: bool) -> Result<BTreeSet<u16>, Error> {
        let parts = self.participants(space.name).await?;
        if stopping && parts.iter().all(|node| *node == self.node.id) {
            // Nobody else would have what it gave up: it keeps that until the end.
            return Ok(space.known());
        }
        let ours = |shard: &u16| rendezvous::choose(&parts, space.name, *shard) == Some(&self.node.id);
        Ok((0..space.shards).filter(ours).collect())
    }

    /// Takes part in a space no more.
    async fn withdraw(&self, part: &Kept) -> Result<Pass, Error> {
        let held = part.held.lock().take();
        if let Some(fence) = held {
            self.leases.release(&part.name, fence).await?;
            self.changed.notify_one();
        }
        Ok(Pass::Settled)
    }

    /// The nodes that take part in a space.
    async fn participants(&self, space: &str) -> Result<Vec<NodeId>, Error> {
        let prefix = format!("in/{space}/");
        let parts = self.leases.list(&prefix).await?;
        Ok(parts.iter().filter_map(|lease| Some(NodeId::named(lease.name.strip_prefix(&prefix)?))).collect())
    }

    /// Makes calls, some at once; the first error is returned, after all are answered.
    async fn all(&self, calls: impl Iterator<Item = impl Future<Output = Result<(), Error>>>) -> Result<(), Error> {
        let answers: Vec<Result<(), Error>> = stream::iter(calls).buffer_unordered(CALLS).collect().await;
        answers.into_iter().collect()
    }

    async fn renew(&self, space: &Space, shard: u16, fence: Fence) -> Result<(), Error> {
        let until = self.until();
        if self.leases.renew(&space.lease_of(shard), fence, self.options.lease.get()).await? {
            space.renewed(shard, fence, until);
        } else {
            space.lost(shard, fence);
        }
        Ok(())
    }

    async fn acquire(&self, space: &Space, shard: u16) -> Result<(), Error> {
        let until = self.until();
        let ttl = self.options.lease.get();
        let fence = self.leases.acquire(&space.lease_of(shard), self.node.id.as_str(), ttl).await?;
        if let Some(fence) = fence {
            space.acquired(shard, fence, until);
        }
        Ok(())
    }

    async fn release(&self, space: &Space, shard: u16, fence: Fence) -> Result<(), Error> {
        self.leases.release(&space.lease_of(shard), fence).await
    }

    /// Until when this node acts on a lease that it asks for now: a tenth less than it lasts, in which work under way comes
    /// to its end.
    fn until(&self) -> Instant {
        Instant::now() + self.options.lease.get().mul_f64(0.9)
    }

    /// Lets go of everything, so that others need not wait until it ends.
    async fn release_all(&self, alive: &Kept) {
        let spaces = self.spaces.lock().clone();
        for taking in &spaces {
            let space = &taking.space;
            space.sort(&BTreeSet::new());
            let release = space.take_left().into_iter().map(|(shard, fence)| self.release(space, shard, fence));
            if let Err(error) = self.all(release).await {
                return self.failed(&error);
            }
        }
        let kept = spaces.iter().map(|taking| &taking.part).chain([alive]);
        for kept in kept {
            let held = kept.held.lock().take();
            if let Some(fence) = held
                && let Err(error) = self.leases.release(&kept.name, fence).await
            {
                return self.failed(&error);
            }
        }
    }

    fn failed(&self, error: &Error) {
        self.metrics.lease_failed.increment(1);
        if !self.failing.swap(true, Ordering::Relaxed) {
            let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(engine = self.leases.name(), error = %error, source, "leases cannot be kept now");
        }
    }
}

fn end_in_time(space: Arc<Space>, life: &Lifecycle) {
    let stop = life.hard().clone();
    life.spawn(TaskKind::Critical, "end leases in time", async move {
        tokio::select! {
            () = space.end_in_time() => {}
            () = stop.cancelled() => {}
        }
    });
}
