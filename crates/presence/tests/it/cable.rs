//! What connects a node to the engine, and can be cut: everything fails until it is mended. For the others that node is
//! dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
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
    async fn call<R>(&self, call: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        self.cable.presence()?;
        let result = call.await;
        self.cable.presence()?;
        result
    }
}

#[async_trait]
impl Presence for Far<dyn Presence> {
    fn outlives_node(&self) -> bool {
        self.end.outlives_node()
    }

    fn shards(&self) -> u16 {
        self.end.shards()
    }

    async fn enter(&self, enter: Enter) -> Result<Done, Error> {
        self.call(self.end.enter(enter)).await
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        self.call(self.end.update(topic, session, change)).await
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        self.call(self.end.leave(topic, session, holder)).await
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        self.call(self.end.members(topic, after, limit, bytes_max)).await
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        self.call(self.end.occupancy(topics)).await
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        self.call(self.end.topics_of(tenant, user)).await
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        self.call(self.end.topics_in(tenant, session, holder)).await
    }

    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error> {
        self.call(self.end.adopt(tenant, session, holder)).await
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        self.call(self.end.remove_user(tenant, user)).await
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        self.call(self.end.heartbeat(holder, lease)).await
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
        self.call(self.end.reap(holder)).await
    }

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        self.call(self.end.feed(shard, after, limit, wait)).await
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        self.call(self.end.fed(shard, fence, upto)).await
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        self.call(self.end.fed_position(shard)).await
    }
}

impl Far<dyn Leases> {
    async fn reach<R>(&self, call: impl Future<Output = Result<R, ClusterError>>) -> Result<R, ClusterError> {
        if self.cable.is_cut() { Err(ClusterError::unavailable("cut")) } else { call.await }
    }
}

#[async_trait]
impl Leases for Far<dyn Leases> {
    fn name(&self) -> &'static str {
        self.end.name()
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, ClusterError> {
        self.reach(self.end.acquire(name, holder, ttl)).await
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, ClusterError> {
        self.reach(self.end.renew(name, fence, ttl)).await
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), ClusterError> {
        self.reach(self.end.release(name, fence)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, ClusterError> {
        self.reach(self.end.list(prefix)).await
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
