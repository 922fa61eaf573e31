//! The log alone, for a broker that is composed with another system's carrier of hints.

use std::sync::Arc;

use fanfare_history::{
    Admin, Announce, Append, Appended, Capabilities, Error, Head, Log, Page, Read, Reset, Restore, Stretch, TopicPage,
    TopicsQuery,
};
use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;
use tokio_util::sync::DropGuard;

use crate::append::Into;
use crate::lanes::Lanes;
use crate::store::Store;
use crate::tail::Hear;
use crate::upkeep::Upkeep;

/// A [`Log`] over one schema of a database. It announces what this node appends after the commit; what applications
/// publish themselves is announced by one of the nodes.
pub struct PgLog {
    pub(crate) store: Store,
    pub(crate) lanes: Lanes,
    pub(crate) capabilities: Capabilities,
    pub(crate) announce: Arc<dyn Announce>,
    pub(crate) upkeep: Upkeep,
    /// Ends the reader of what applications publish, and the bell.
    pub(crate) _stop: DropGuard,
}

/// Announces what applications published.
pub(crate) struct Relay(pub(crate) Arc<dyn Announce>);

impl Hear for Relay {
    /// Other nodes have readers too.
    fn is_listening(&self) -> bool {
        true
    }

    fn wants(&self, _: &TopicKey) -> bool {
        true
    }

    fn stored(&self, events: &[Arc<Event>]) {
        self.0.stored(events);
    }

    fn reset(&self, reset: &Reset) {
        self.0.reset(reset);
    }

    /// Nothing to tell: readers of a log with a carrier compare heads anyway.
    fn lost(&self) {}
}

impl Log for PgLog {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(self.lanes.append(batch))
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move { Ok(self.store.heads(Into::Log, &topics).await?) })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(async move { Ok(self.store.read(&read).await?) })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(async move { Ok(self.store.topics(&query).await?) })
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(async move {
            let head = self.store.admin(Into::Log, &change, false).await?;
            if let Admin::Purge(topic) = change {
                self.announce.reset(&Reset { topic, head });
            }
            Ok(head)
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { Ok(self.upkeep.sweep(&self.store).await?) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.lanes.close().await;
            Ok(())
        })
    }
}

impl Restore for PgLog {
    fn restore(&self, stretch: Stretch) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.store.restore(&stretch).await })
    }
}
