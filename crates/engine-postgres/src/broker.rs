//! The broker: publishes into the tables, and hears of everything by reading their tail.

use std::collections::HashSet;
use std::sync::Arc;

use fanfare_bus::{Broker, Policies, Receive};
use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Page, Read, Reset, TopicPage, TopicsQuery};
use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio_util::sync::DropGuard;

use crate::append::Into;
use crate::lanes::Lanes;
use crate::store::Store;
use crate::tail::{Hear, Tail};
use crate::upkeep::Upkeep;

/// A [`Broker`] over one schema of a database.
pub(crate) struct PgBroker {
    pub(crate) store: Store,
    pub(crate) log: Lanes,
    pub(crate) passing: Lanes,
    pub(crate) policies: Arc<Policies>,
    pub(crate) capabilities: Capabilities,
    pub(crate) interest: Arc<Interest>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) upkeep: Upkeep,
    /// Ends the tail and the bell.
    pub(crate) _stop: DropGuard,
}

/// What this node's readers are interested in.
pub(crate) struct Interest {
    receive: Arc<dyn Receive>,
    topics: RwLock<HashSet<TopicKey>>,
}

impl Interest {
    pub(crate) fn new(receive: Arc<dyn Receive>) -> Self {
        Self { receive, topics: RwLock::default() }
    }
}

impl Hear for Interest {
    fn is_listening(&self) -> bool {
        !self.topics.read().is_empty()
    }

    fn wants(&self, topic: &TopicKey) -> bool {
        self.topics.read().contains(topic)
    }

    fn stored(&self, events: &[Arc<Event>]) {
        self.receive.stored(events);
    }

    fn reset(&self, reset: &Reset) {
        self.receive.reset(reset);
    }

    fn lost(&self) {
        self.receive.lost();
    }
}

impl PgBroker {
    fn tables_of(&self, topic: &TopicKey) -> Into {
        if self.policies.of(&topic.topic).history { Into::Log } else { Into::Passing }
    }

    async fn publish_mixed(&self, batch: Vec<Append>) -> Vec<Result<Appended, Error>> {
        let kept: Vec<bool> = batch.iter().map(|item| self.tables_of(&item.topic) == Into::Log).collect();
        let mut places = kept.iter();
        let (logged, passing) = batch.into_iter().partition(|_| places.next().copied().unwrap_or(true));
        let (logged, passing) = futures_util::future::join(self.log.append(logged), self.passing.append(passing)).await;
        let (mut logged, mut passing) = (logged.into_iter(), passing.into_iter());
        kept.into_iter()
            .map(|kept| if kept { logged.next() } else { passing.next() }.unwrap_or(Err(Error::Closed)))
            .collect()
    }

    async fn heads_mixed(&self, topics: Vec<TopicKey>) -> Result<Vec<Head>, Error> {
        let kept: Vec<bool> = topics.iter().map(|topic| self.tables_of(topic) == Into::Log).collect();
        let mut places = kept.iter();
        let (logged, passing): (Vec<_>, Vec<_>) =
            topics.into_iter().partition(|_| places.next().copied().unwrap_or(true));
        let mut logged = self.store.heads(Into::Log, &logged).await?.into_iter();
        let mut passing = self.store.heads(Into::Passing, &passing).await?.into_iter();
        kept.into_iter().map(|kept| if kept { logged.next() } else { passing.next() }.ok_or(Error::Closed)).collect()
    }
}

impl Broker for PgBroker {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Not across a lost connection: then heads tell.
    fn lossless(&self) -> bool {
        false
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(self.publish_mixed(batch))
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.interest.topics.write().extend(topics);
            Ok(self.tail.started().await?)
        })
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        let mut interest = self.interest.topics.write();
        for topic in &topics {
            interest.remove(topic);
        }
        if interest.capacity() > 1024 && interest.capacity() > interest.len() * 4 {
            interest.shrink_to_fit();
        }
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(self.heads_mixed(topics))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(async move {
            match self.tables_of(&read.topic) {
                Into::Log => Ok(self.store.read(&read).await?),
                Into::Passing => {
                    let heads = self.store.heads(Into::Passing, std::slice::from_ref(&read.topic)).await?;
                    let head = heads.first().copied().ok_or(Error::Closed)?;
                    Ok(Page { events: Vec::new(), head, more: false })
                }
            }
        })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(async move { Ok(self.store.topics(&query).await?) })
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(async move {
            let (Admin::Purge(key) | Admin::TruncateBefore(key, _)) = &change;
            let head = self.store.admin(self.tables_of(key), &change, true).await?;
            self.upkeep.changed();
            Ok(head)
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { Ok(self.upkeep.sweep(&self.store).await?) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            futures_util::future::join(self.log.close(), self.passing.close()).await;
            self.tail.flush().await;
            Ok(())
        })
    }
}
