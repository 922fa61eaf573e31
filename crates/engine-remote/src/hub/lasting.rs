//! Numbers that go on where a hub forgets everything when it starts again: its gateways do not.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::{Error as LeaseError, Fence, Lease, Leases};
use fanfare_model::{Clock, SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{
    Change, Done, Edit, Enter, Error as PresenceError, Holder, Member, Members, Occupancy, Presence,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

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

impl<T: Leases> Leases for Lasting<T> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Fence>, LeaseError>> {
        let acquired = self.inner.acquire(name, holder, ttl);
        acquired.map(|fence| Ok(fence?.map(|fence| Fence::new(self.up(fence.get()))))).boxed()
    }

    fn renew<'a>(&'a self, name: &'a str, fence: Fence, ttl: Duration) -> BoxFuture<'a, Result<bool, LeaseError>> {
        self.inner.renew(name, Fence::new(self.down(fence.get())), ttl)
    }

    fn release<'a>(&'a self, name: &'a str, fence: Fence) -> BoxFuture<'a, Result<(), LeaseError>> {
        self.inner.release(name, Fence::new(self.down(fence.get())))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Lease>, LeaseError>> {
        let up = |lease: Lease| Lease { fence: Fence::new(self.up(lease.fence.get())), ..lease };
        self.inner.list(prefix).map(move |leases| Ok(leases?.into_iter().map(up).collect())).boxed()
    }
}

impl<T: Presence> Lasting<T> {
    fn done(&self, done: Done) -> Done {
        Done { position: self.up(done.position), ..done }
    }
}

impl<T: Presence> Presence for Lasting<T> {
    /// The gateways of a hub see what is here as well.
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, PresenceError>> {
        self.inner.enter(enter).map(|done| Ok(self.done(done?))).boxed()
    }

    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, PresenceError>> {
        self.inner.update(topic, session, change).map(|done| Ok(self.done(done?))).boxed()
    }

    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, PresenceError>> {
        self.inner.leave(topic, session, holder).map(|done| Ok(self.done(done?))).boxed()
    }

    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, PresenceError>> {
        self.inner.members(topic, after, limit, bytes_max)
    }

    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, PresenceError>> {
        self.inner.occupancy(topics)
    }

    fn topics_of<'a>(
        &'a self,
        tenant: &'a Tenant,
        user: &'a UserId,
    ) -> BoxFuture<'a, Result<Vec<Topic>, PresenceError>> {
        self.inner.topics_of(tenant, user)
    }

    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, PresenceError>> {
        self.inner.topics_in(tenant, session, holder)
    }

    fn adopt<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<(Topic, Arc<Member>)>, PresenceError>> {
        self.inner.adopt(tenant, session, holder)
    }

    fn remove_user<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<usize, PresenceError>> {
        self.inner.remove_user(tenant, user)
    }

    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<bool, PresenceError>> {
        self.inner.heartbeat(holder, lease)
    }

    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, PresenceError>> {
        self.inner.reap(holder)
    }

    fn feed(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<(u64, Change)>, PresenceError>> {
        let up = |(position, change)| (self.up(position), change);
        let changes = self.inner.feed(shard, self.down(after), limit, wait);
        changes.map(move |changes| Ok(changes?.into_iter().map(up).collect())).boxed()
    }

    fn fed(&self, shard: u16, fence: Fence, upto: u64) -> BoxFuture<'_, Result<bool, PresenceError>> {
        self.inner.fed(shard, fence, self.down(upto))
    }

    fn fed_position(&self, shard: u16) -> BoxFuture<'_, Result<u64, PresenceError>> {
        self.inner.fed_position(shard).map(|position| Ok(self.up(position?))).boxed()
    }
}
