//! The shards of a space that this node owns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lease::Fence;
use crate::metrics::OfSpace;

/// The shards of a space that this node owns now, each with the fence of its lease. Clones are handles to the same.
///
/// At most one node owns a shard under a fence, and who owns it later has a greater one. A node that is stalled may not
/// notice in time that it owns a shard no more: whoever acts for a shard names its fence, and what it acts on refuses
/// one that is smaller than it has seen.
#[derive(Clone)]
pub struct Ownership {
    pub(crate) space: Arc<Space>,
}

impl Ownership {
    /// What is owned, now and whenever that changes. A shard that is lost and acquired again between two looks has another
    /// fence.
    pub fn watch(&self) -> watch::Receiver<Arc<BTreeMap<u16, Fence>>> {
        self.space.told.subscribe()
    }

    /// What is owned now.
    pub fn shards(&self) -> Arc<BTreeMap<u16, Fence>> {
        Arc::clone(&self.space.told.borrow())
    }

    /// Whether this node owns `shard` under `fence` as far as it knows.
    pub fn owns(&self, shard: u16, fence: Fence) -> bool {
        self.space.told.borrow().get(&shard) == Some(&fence)
    }

    /// Says that this node works on a shard: when another node is to own it, that waits until the [`Hold`] is dropped, but no
    /// longer than the lease lasts. `None` if this node does not own it under `fence`.
    pub fn hold(&self, shard: u16, fence: Fence) -> Option<Hold> {
        let state = self.space.state.lock();
        let owned = state.get(&shard).filter(|owned| owned.fence == fence && owned.is_ours(Instant::now()))?;
        let (work, wake) = (Arc::clone(&owned.work), Arc::clone(&self.space.wake));
        Some(Hold { work: Some(work), fence, wake })
    }
}

/// Work on an owned shard. Dropping it lets another node go on with the shard.
pub struct Hold {
    work: Option<Arc<Work>>,
    fence: Fence,
    wake: Arc<Notify>,
}

impl Hold {
    /// With what everything is marked that is done on the shard.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether the work should come to an end: the shard is another node's, or nobody's.
    pub fn is_over(&self) -> bool {
        self.work.as_ref().is_none_or(|work| work.over.is_cancelled())
    }

    /// Waits until the work should come to an end.
    pub async fn over(&self) {
        if let Some(work) = &self.work {
            work.over.cancelled().await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let over = self.is_over();
        self.work = None;
        if over {
            self.wake.notify_one();
        }
    }
}

/// Shared by the holds of a shard: as many as there are references to it.
#[derive(Default)]
pub(crate) struct Work {
    over: CancellationToken,
}

/// A lease on a shard.
struct Owned {
    fence: Fence,
    /// When this node stops acting on it unless it is renewed.
    until: Instant,
    /// Another node is to own it: not renewed any more, and released when nobody works on it.
    leaving: bool,
    work: Arc<Work>,
}

impl Owned {
    fn is_ours(&self, now: Instant) -> bool {
        !self.leaving && self.until > now
    }
}

/// A number of shards, each owned by one of the nodes that take part.
pub(crate) struct Space {
    pub(crate) name: &'static str,
    pub(crate) shards: u16,
    state: Mutex<BTreeMap<u16, Owned>>,
    told: watch::Sender<Arc<BTreeMap<u16, Fence>>>,
    /// There may be something to release.
    wake: Arc<Notify>,
    /// A shard may end earlier than it was said.
    sooner: Notify,
    metrics: OfSpace,
}

impl Space {
    pub(crate) fn new(name: &'static str, shards: u16, wake: Arc<Notify>) -> Self {
        let told = watch::Sender::new(Arc::default());
        Self { name, shards, state: Mutex::default(), told, wake, sooner: Notify::new(), metrics: OfSpace::new(name) }
    }

    /// The name of the lease on a shard.
    pub(crate) fn lease_of(&self, shard: u16) -> String {
        format!("own/{}/{shard}", self.name)
    }

    /// The leases to renew: those on `wanted` shards. The others leave.
    pub(crate) fn sort(&self, wanted: &BTreeSet<u16>) -> Vec<(u16, Fence)> {
        let mut state = self.state.lock();
        for (shard, owned) in state.iter_mut() {
            let leaves = !wanted.contains(shard);
            if leaves && !owned.leaving {
                self.metrics.released.increment(1);
            }
            // One that was leaving and is wanted again is acquired anew.
            owned.leaving |= leaves;
        }
        let kept =
            state.iter().filter(|(_, owned)| !owned.leaving).map(|(shard, owned)| (*shard, owned.fence)).collect();
        self.tell(&mut state);
        kept
    }

    /// The shards on which there is a lease, or may be.
    pub(crate) fn known(&self) -> BTreeSet<u16> {
        self.state.lock().keys().copied().collect()
    }

    /// The leases of leaving shards on which nobody works, which are forgotten: they are to be released now.
    pub(crate) fn take_left(&self) -> Vec<(u16, Fence)> {
        let now = Instant::now();
        let mut left = Vec::new();
        self.state.lock().retain(|shard, owned| {
            if !owned.leaving {
                return true;
            }
            let idle = Arc::strong_count(&owned.work) == 1;
            if idle {
                left.push((*shard, owned.fence));
            }
            // Whoever still works on one that has ended has had its time.
            !idle && owned.until > now
        });
        left
    }

    /// A lease was acquired; it was asked for such that it is ours until `until`.
    pub(crate) fn acquired(&self, shard: u16, fence: Fence, until: Instant) {
        let mut state = self.state.lock();
        state.insert(shard, Owned { fence, until, leaving: false, work: Arc::default() });
        self.metrics.acquired.increment(1);
        self.tell(&mut state);
    }

    /// A lease was renewed.
    pub(crate) fn renewed(&self, shard: u16, fence: Fence, until: Instant) {
        let mut state = self.state.lock();
        if let Some(owned) = state.get_mut(&shard).filter(|owned| owned.fence == fence) {
            owned.until = until;
        }
        self.tell(&mut state);
    }

    /// A lease has ended, says the store.
    pub(crate) fn lost(&self, shard: u16, fence: Fence) {
        let mut state = self.state.lock();
        if state.get(&shard).is_some_and(|owned| owned.fence == fence)
            && let Some(owned) = state.remove(&shard)
        {
            owned.work.over.cancel();
            self.metrics.lost.increment(1);
        }
        self.tell(&mut state);
    }

    /// Ends what was not renewed in time, when its time is up. Never returns.
    pub(crate) async fn end_in_time(&self) {
        loop {
            let ends = {
                let mut state = self.state.lock();
                self.tell(&mut state);
                let now = Instant::now();
                state.values().filter(|owned| owned.is_ours(now)).map(|owned| owned.until).min()
            };
            // Renewals move the end away, so that it is looked at again then; nothing but an acquired lease brings it nearer.
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                () = tokio::time::sleep_until(ends.unwrap_or(far)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Brings what is told up to date with what is known.
    fn tell(&self, state: &mut BTreeMap<u16, Owned>) {
        let now = Instant::now();
        let ours: BTreeMap<u16, Fence> =
            state.iter().filter(|(_, owned)| owned.is_ours(now)).map(|(shard, owned)| (*shard, owned.fence)).collect();
        for owned in state.values_mut().filter(|owned| !owned.is_ours(now)) {
            owned.work.over.cancel();
        }
        for owned in state.values_mut().filter(|owned| owned.is_ours(now) && owned.work.over.is_cancelled()) {
            // Renewed after its time, and nobody had it meanwhile.
            owned.work = Arc::default();
        }
        let changed = self.told.send_if_modified(|told| {
            let changed = **told != ours;
            if changed {
                self.metrics.shards.set(u32::try_from(ours.len()).unwrap_or(u32::MAX));
                *told = Arc::new(ours);
            }
            changed
        });
        if changed {
            self.sooner.notify_one();
        }
    }
}
