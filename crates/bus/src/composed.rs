//! A broker made of a log and of what carries its news: append first, hint second.

use std::sync::Arc;

use fanfare_history::{
    Admin, Announce, Append, Appended, Capabilities, Error, Head, Log, Page, Read, Reset, TopicPage, TopicsQuery,
};
use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;

use crate::apart;
use crate::broker::Broker;
use crate::fanout::Fanout;
use crate::policy::Policies;

/// A [`Broker`] of any log and any carrier. The log gives offsets, keeps, and has the last word; the carrier only tells
/// nodes that there is something, so that it may lose as much as it likes. Topics that keep nothing never touch the log.
pub struct Composed {
    log: Arc<dyn Log>,
    fanout: Arc<dyn Fanout>,
    policies: Arc<Policies>,
}

impl Composed {
    /// Joins them. The log must have been made with the [`announcer`] of this carrier, or of another one that reaches the
    /// same nodes.
    pub fn new(log: Arc<dyn Log>, fanout: Arc<dyn Fanout>, policies: Arc<Policies>) -> Self {
        Self { log, fanout, policies }
    }

    fn is_kept(&self, key: &TopicKey) -> bool {
        self.policies.of(&key.topic).history
    }
}

/// Who is to hear what the log of a [`Composed`] stores.
pub fn announcer(fanout: &Arc<dyn Fanout>) -> Arc<dyn Announce> {
    Arc::new(Announcer(Arc::clone(fanout)))
}

struct Announcer(Arc<dyn Fanout>);

impl Announce for Announcer {
    fn stored(&self, events: &[Arc<Event>]) {
        self.0.send(events);
    }

    fn reset(&self, reset: &Reset) {
        self.0.reset(reset);
    }
}

impl Broker for Composed {
    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }

    fn lossless(&self) -> bool {
        false
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        let is_kept = |append: &Append| self.is_kept(&append.topic);
        if batch.iter().all(is_kept) {
            return self.log.append(batch);
        }
        let (log, pass) = (|batch| self.log.append(batch), |batch| self.fanout.pass(batch));
        Box::pin(apart::answer(batch, is_kept, log, pass, || Err(Error::Closed)))
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        self.fanout.attach(topics)
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        self.fanout.detach(topics);
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        if topics.iter().all(|key| self.is_kept(key)) {
            return self.log.heads(topics);
        }
        let (kept, passing) = (|topics| self.log.heads(topics), |topics| self.fanout.passing(topics));
        Box::pin(apart::try_answer(topics, |key| self.is_kept(key), kept, passing, || Error::Closed))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        if self.is_kept(&read.topic) {
            return self.log.read(read);
        }
        Box::pin(async move {
            let heads = self.fanout.passing(vec![read.topic]).await?;
            let head = *heads.first().ok_or(Error::Closed)?;
            Ok(Page { events: Vec::new(), head, more: false })
        })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.log.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        let (Admin::Purge(key) | Admin::TruncateBefore(key, _)) = &change;
        if self.is_kept(key) {
            return self.log.admin(change);
        }
        // Nothing is kept that could be removed.
        let key = key.clone();
        Box::pin(async move { self.fanout.passing(vec![key]).await?.first().copied().ok_or(Error::Closed) })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.log.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            // What the log still stores is announced.
            self.log.close().await?;
            self.fanout.close().await
        })
    }
}
