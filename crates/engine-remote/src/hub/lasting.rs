//! Numbers that go on where a hub forgets everything when it starts again: its gateways do not.

use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::{Error as LeaseError, Fence, Lease, Leases};
use fanfare_model::{Clock, SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{
    Adopted, Change, Done, Edit, Enter, Error as PresenceError, Holder, Members, Occupancy, Presence,
};

/// Leases or presence in the memory of a hub, whose fences and positions are above those of every earlier start: they
/// begin at the time of this one, in microseconds, and no engine counts a million of them each second.
pub struct Lasting<T> {
    inner: T,
    begin: u64,
}

impl<T> Lasting<T> {
    /// What begins now.
    pub fn new(inner: T, clock: &dyn Clock) -> Self {
        Self { inner, begin: u64::try_from(clock.now().as_micros()).unwrap_or(0) }
    }

    fn up(&self, number: u64) -> u64 {
        if number == 0 { 0 } else { self.begin + number }
    }

    /// Of an earlier start: before everything there is.
    fn down(&self, number: u64) -> u64 {
        number.saturating_sub(self.begin)
    }
}

#[async_trait]
impl<T: Leases> Leases for Lasting<T> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, LeaseError> {
        let fence = self.inner.acquire(name, holder, ttl).await?;
        Ok(fence.map(|fence| Fence::new(self.up(fence.get()))))
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, LeaseError> {
        self.inner.renew(name, Fence::new(self.down(fence.get())), ttl).await
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), LeaseError> {
        self.inner.release(name, Fence::new(self.down(fence.get()))).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, LeaseError> {
        let up = |lease: Lease| Lease { fence: Fence::new(self.up(lease.fence.get())), ..lease };
        Ok(self.inner.list(prefix).await?.into_iter().map(up).collect())
    }
}

impl<T: Presence> Lasting<T> {
    fn done(&self, done: Done) -> Done {
        Done { position: self.up(done.position), ..done }
    }
}

#[async_trait]
impl<T: Presence> Presence for Lasting<T> {
    /// The gateways of a hub see what is here as well.
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    async fn enter(&self, enter: Enter) -> Result<Done, PresenceError> {
        Ok(self.done(self.inner.enter(enter).await?))
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, PresenceError> {
        Ok(self.done(self.inner.update(topic, session, change).await?))
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, PresenceError> {
        Ok(self.done(self.inner.leave(topic, session, holder).await?))
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, PresenceError> {
        self.inner.members(topic, after, limit, bytes_max).await
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, PresenceError> {
        self.inner.occupancy(topics).await
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, PresenceError> {
        self.inner.topics_of(tenant, user).await
    }

    async fn topics_in(
        &self,
        tenant: &Tenant,
        session: &SessionId,
        holder: &Holder,
    ) -> Result<Vec<Topic>, PresenceError> {
        self.inner.topics_in(tenant, session, holder).await
    }

    async fn adopt(
        &self,
        tenant: &Tenant,
        session: &SessionId,
        holder: &Holder,
    ) -> Result<Vec<Adopted>, PresenceError> {
        self.inner.adopt(tenant, session, holder).await
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, PresenceError> {
        self.inner.remove_user(tenant, user).await
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, PresenceError> {
        self.inner.heartbeat(holder, lease).await
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, PresenceError> {
        self.inner.reap(holder).await
    }

    async fn feed(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Change)>, PresenceError> {
        let up = |(position, change)| (self.up(position), change);
        let changes = self.inner.feed(shard, self.down(after), limit, wait).await?;
        Ok(changes.into_iter().map(up).collect())
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, PresenceError> {
        self.inner.fed(shard, fence, self.down(upto)).await
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, PresenceError> {
        Ok(self.up(self.inner.fed_position(shard).await?))
    }
}
