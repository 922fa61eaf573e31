//! Leases of one process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Error;
use crate::lease::{Fence, Lease, Leases, check_holder, check_name};

/// [`Leases`] in the memory of this process; clones are handles to the same. They are forgotten together with the
/// process, which is right where the process is the whole cluster.
#[derive(Clone, Default)]
pub struct MemoryLeases(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    fences: u64,
    held: BTreeMap<String, Held>,
    /// How many were left when the ended ones were last taken out.
    kept: usize,
}

struct Held {
    holder: String,
    fence: Fence,
    until: Instant,
}

impl MemoryLeases {
    /// Nobody holds anything.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn acquire(&mut self, name: &str, holder: &str, ttl: Duration) -> Option<Fence> {
        let now = Instant::now();
        if self.held.get(name).is_some_and(|held| held.until > now) {
            return None;
        }
        self.forget_ended(now);
        self.fences += 1;
        let fence = Fence::new(self.fences);
        self.held.insert(name.to_owned(), Held { holder: holder.to_owned(), fence, until: now + ttl });
        Some(fence)
    }

    /// Of each name that ended by time a record stays until there are twice as many as last time, so that looking through
    /// them costs little per lease.
    fn forget_ended(&mut self, now: Instant) {
        const FEW: usize = 64;
        if self.held.len() >= FEW.max(2 * self.kept) {
            self.held.retain(|_, held| held.until > now);
            self.kept = self.held.len();
        }
    }

    /// This holding, if it has not ended.
    fn holding(&mut self, name: &str, fence: Fence) -> Option<&mut Held> {
        let now = Instant::now();
        self.held.get_mut(name).filter(|held| held.fence == fence && held.until > now)
    }

    fn list(&self, prefix: &str) -> Vec<Lease> {
        let now = Instant::now();
        self.held
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, held)| held.until > now)
            .map(|(name, held)| Lease { name: name.clone(), holder: held.holder.clone(), fence: held.fence })
            .collect()
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        check_name(name)?;
        check_holder(holder)?;
        Ok(self.0.lock().acquire(name, holder, ttl))
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        let mut state = self.0.lock();
        let held = state.holding(name, fence).map(|held| held.until = Instant::now() + ttl);
        Ok(held.is_some())
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        let mut state = self.0.lock();
        if state.holding(name, fence).is_some() {
            state.held.remove(name);
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        Ok(self.0.lock().list(prefix))
    }
}
