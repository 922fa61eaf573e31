//! The broker: a log whose scripts announce, and the ears that hear them.

use std::sync::Arc;

use fanfare_bus::Broker;
use fanfare_history::{
    Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, Restore, Stretch, TopicPage, TopicsQuery,
};
use fanfare_model::TopicKey;
use futures_util::future::BoxFuture;

use crate::ears::Ears;
use crate::store::Store;

/// A [`Broker`] on Redis.
pub(crate) struct RedisBroker {
    pub(crate) store: Arc<Store>,
    pub(crate) ears: Ears,
}

impl Broker for RedisBroker {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn lossless(&self) -> bool {
        false
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.store.append(batch)
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        self.ears.attach(topics)
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        self.ears.detach(&topics);
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move { self.store.heads(&topics).await })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(self.store.read(read))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(self.store.topics(query))
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(self.store.admin(change))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(self.store.sweep())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let closed = self.store.close().await;
            self.ears.stop();
            closed
        })
    }
}

/// A [`Log`] on Redis, whose events somebody else carries.
pub struct RedisLog {
    pub(crate) store: Arc<Store>,
}

impl Log for RedisLog {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.store.append(batch)
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move { self.store.heads(&topics).await })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(self.store.read(read))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(self.store.topics(query))
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(self.store.admin(change))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(self.store.sweep())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.store.close())
    }
}

impl Restore for RedisLog {
    fn restore(&self, stretch: Stretch) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.store.restore(stretch))
    }
}
