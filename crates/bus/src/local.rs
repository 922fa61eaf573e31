//! The broker of one process: a log that announces straight to the hub.

use std::sync::Arc;

use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, TopicPage, TopicsQuery};
use fanfare_model::TopicKey;
use futures_util::future::BoxFuture;

use crate::broker::Broker;
use crate::policy::Policies;

/// A [`Broker`] over a log in this process. Topics that keep no history are only ordered, in memory, and never
/// touch the log.
pub struct LocalBroker {
    log: Arc<dyn Log>,
    ephemeral: Arc<dyn Log>,
    policies: Arc<Policies>,
}

impl LocalBroker {
    /// Both logs must announce to the hub that this broker is given to. `ephemeral` orders the topics that
    /// keep nothing; a memory log does.
    pub fn new(log: Arc<dyn Log>, ephemeral: Arc<dyn Log>, policies: Arc<Policies>) -> Self {
        Self { log, ephemeral, policies }
    }

    fn log_of(&self, key: &TopicKey) -> &dyn Log {
        if self.policies.of(&key.topic).history { &*self.log } else { &*self.ephemeral }
    }
}

impl Broker for LocalBroker {
    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }

    fn lossless(&self) -> bool {
        true
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        let kept = |append: &Append| self.policies.of(&append.topic.topic).history;
        // Batches are often of one topic: its policy is looked up once.
        let mut kinds = batch.chunk_by(|a, b| a.topic.topic == b.topic.topic).map(|same| kept(&same[0]));
        let first = kinds.next().unwrap_or(true);
        if kinds.all(|kind| kind == first) {
            return if first { self.log.append(batch) } else { self.ephemeral.append(batch) };
        }
        Box::pin(async move {
            let places: Vec<bool> = batch.iter().map(kept).collect();
            let (logged, passing): (Vec<_>, Vec<_>) = batch.into_iter().partition(kept);
            let (logged, passing) =
                futures_util::future::join(self.log.append(logged), self.ephemeral.append(passing)).await;
            let (mut logged, mut passing) = (logged.into_iter(), passing.into_iter());
            places
                .into_iter()
                .map(|kept| if kept { logged.next() } else { passing.next() }.unwrap_or(Err(Error::Closed)))
                .collect()
        })
    }

    fn attach(&self, _: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn detach(&self, _: Vec<TopicKey>) {}

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move {
            let mut heads = Vec::with_capacity(topics.len());
            // Batches go to the log whole; only a mix of kinds takes a call each.
            if topics.iter().all(|key| self.policies.of(&key.topic).history) {
                return self.log.heads(topics).await;
            }
            for key in topics {
                heads.append(&mut self.log_of(&key).heads(vec![key.clone()]).await?);
            }
            Ok(heads)
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.log_of(&read.topic).read(read)
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.log.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        let key = match &change {
            Admin::Purge(key) | Admin::TruncateBefore(key, _) => key,
        };
        self.log_of(key).admin(change)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { Ok(self.log.sweep().await? + self.ephemeral.sweep().await?) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.ephemeral.close().await?;
            self.log.close().await
        })
    }
}
