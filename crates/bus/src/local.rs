//! The broker of one process: a log that announces straight to the hub.

use std::sync::Arc;

use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, TopicPage, TopicsQuery};
use fanfare_model::TopicKey;
use futures_util::future::BoxFuture;

use crate::apart;
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
        let (logged, passing) = (|batch| self.log.append(batch), |batch| self.ephemeral.append(batch));
        Box::pin(apart::answer(batch, kept, logged, passing, || Err(Error::Closed)))
    }

    fn attach(&self, _: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn detach(&self, _: Vec<TopicKey>) {}

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        let is_kept = |key: &TopicKey| self.policies.of(&key.topic).history;
        if topics.iter().all(is_kept) {
            return self.log.heads(topics);
        }
        let (kept, passing) = (|topics| self.log.heads(topics), |topics| self.ephemeral.heads(topics));
        Box::pin(apart::try_answer(topics, is_kept, kept, passing, || Error::Closed))
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
