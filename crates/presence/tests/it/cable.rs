//! What connects a node to the engine, and can be cut: everything fails until it is mended. For the others that node is
//! dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_bus::{Admin, Append, Appended, Broker, Head, Page, Read, TopicPage, TopicsQuery};
use fanfare_cluster::{Error as ClusterError, Fence, Lease, Leases};
use fanfare_history::{Capabilities, Error as LogError};
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Adopted, Change, Done, Edit, Enter, Error, Holder, Members, Occupancy, Presence};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

#[derive(Clone, Default)]
pub(crate) struct Cable(Arc<AtomicBool>);

impl Cable {
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn presence(&self) -> Result<(), Error> {
        if self.is_cut() { Err(Error::Unavailable("cut".into())) } else { Ok(()) }
    }
}

/// Something at the other end of a cable.
pub(crate) struct Far<T: ?Sized> {
    pub(crate) cable: Cable,
    pub(crate) end: Arc<T>,
}

impl<T: ?Sized> Far<T> {
    /// What `call` does, unless the cable is cut before or meanwhile.
    fn call<'a, R: Send + 'a>(&'a self, call: BoxFuture<'a, Result<R, Error>>) -> BoxFuture<'a, Result<R, Error>> {
        let cable = self.cable.clone();
        async move {
            cable.presence()?;
            let result = call.await;
            cable.presence()?;
            result
        }
        .boxed()
    }
}

impl Presence for Far<dyn Presence> {
    fn outlives_node(&self) -> bool {
        self.end.outlives_node()
    }

    fn shards(&self) -> u16 {
        self.end.shards()
    }

    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, Error>> {
        self.call(self.end.enter(enter))
    }

    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        self.call(self.end.update(topic, session, change))
    }

    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        self.call(self.end.leave(topic, session, holder))
    }

    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, Error>> {
        self.call(self.end.members(topic, after, limit, bytes_max))
    }

    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, Error>> {
        self.call(self.end.occupancy(topics))
    }

    fn topics_of<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        self.call(self.end.topics_of(tenant, user))
    }

    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        self.call(self.end.topics_in(tenant, session, holder))
    }

    fn adopt<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Adopted>, Error>> {
        self.call(self.end.adopt(tenant, session, holder))
    }

    fn remove_user<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<usize, Error>> {
        self.call(self.end.remove_user(tenant, user))
    }

    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<bool, Error>> {
        self.call(self.end.heartbeat(holder, lease))
    }

    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, Error>> {
        self.call(self.end.reap(holder))
    }

    fn feed(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<(u64, Change)>, Error>> {
        self.call(self.end.feed(shard, after, limit, wait))
    }

    fn fed(&self, shard: u16, fence: Fence, upto: u64) -> BoxFuture<'_, Result<bool, Error>> {
        self.call(self.end.fed(shard, fence, upto))
    }

    fn fed_position(&self, shard: u16) -> BoxFuture<'_, Result<u64, Error>> {
        self.call(self.end.fed_position(shard))
    }
}

impl Far<dyn Leases> {
    fn reach<'a, R: Send + 'a>(
        &'a self,
        call: BoxFuture<'a, Result<R, ClusterError>>,
    ) -> BoxFuture<'a, Result<R, ClusterError>> {
        async move { if self.cable.is_cut() { Err(ClusterError::unavailable("cut")) } else { call.await } }.boxed()
    }
}

impl Leases for Far<dyn Leases> {
    fn name(&self) -> &'static str {
        self.end.name()
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Fence>, ClusterError>> {
        let call = async move { self.end.acquire(name, holder, ttl).await };
        self.reach(call.boxed())
    }

    fn renew<'a>(&'a self, name: &'a str, fence: Fence, ttl: Duration) -> BoxFuture<'a, Result<bool, ClusterError>> {
        let call = async move { self.end.renew(name, fence, ttl).await };
        self.reach(call.boxed())
    }

    fn release<'a>(&'a self, name: &'a str, fence: Fence) -> BoxFuture<'a, Result<(), ClusterError>> {
        let call = async move { self.end.release(name, fence).await };
        self.reach(call.boxed())
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Lease>, ClusterError>> {
        self.reach(self.end.list(prefix))
    }
}

impl Broker for Far<dyn Broker> {
    fn capabilities(&self) -> Capabilities {
        self.end.capabilities()
    }

    fn lossless(&self) -> bool {
        self.end.lossless()
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, LogError>>> {
        if self.cable.is_cut() {
            let fail = |_| Err(LogError::Unavailable("cut".into()));
            return std::future::ready(batch.into_iter().map(fail).collect()).boxed();
        }
        self.end.publish(batch)
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), LogError>> {
        self.end.attach(topics)
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        self.end.detach(topics);
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, LogError>> {
        self.end.heads(topics)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, LogError>> {
        self.end.read(read)
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, LogError>> {
        self.end.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, LogError>> {
        self.end.admin(change)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, LogError>> {
        self.end.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogError>> {
        self.end.close()
    }
}
