//! Where consumers are.

use fanfare_model::{Invalid, Position, Tenant, Timestamp, Topic, TopicKey};

use crate::cursors::ListQuery;
use crate::{Error, Handle, Name};

/// Which consumers to list.
#[derive(Debug, Clone)]
pub struct CursorsQuery {
    /// Whose.
    pub tenant: Tenant,
    /// Only this consumer.
    pub consumer: Option<Name>,
    /// Only consumers of this topic.
    pub topic: Option<Topic>,
    /// Where the last page ended: its [`Page::next`], read with [`CursorsQuery::read_after`].
    pub after: Option<(Name, Topic)>,
    /// At most so many; more than 1000 are not given in one page.
    pub limit: usize,
}

impl CursorsQuery {
    /// Reads what [`Page::next`] said.
    pub fn read_after(text: &str) -> Result<(Name, Topic), Invalid> {
        // No name of a consumer has a slash.
        let (consumer, topic) = text.split_once('/').ok_or_else(|| Invalid::new("after", "is not a page's `next`"))?;
        Ok((Name::new(consumer)?, Topic::new(topic)?))
    }
}

/// A consumer of a topic, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which consumer.
    pub consumer: Name,
    /// Of which topic.
    pub topic: Topic,
    /// Everything up to here is done with.
    pub position: Position,
    /// How many events are behind it, at most: some may have been removed, or be done with out of order.
    pub lag: u64,
    /// How many events are leased out now, at most.
    pub leased: u64,
    /// How many leases these are.
    pub leases: usize,
    /// How many events wait to be given out again, at most.
    pub waiting: u64,
    /// When it last moved.
    pub moved_at: Timestamp,
}

/// A page of consumers, by consumer, then by topic.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The consumers.
    pub cursors: Vec<Cursor>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<String>,
}

/// The most of one page: each takes a look at its topic's head.
const PAGE_MAX: usize = 1000;

impl Handle {
    /// Where consumers are.
    pub async fn cursors(&self, query: CursorsQuery) -> Result<Page, Error> {
        let CursorsQuery { tenant, consumer, topic, after, limit } = query;
        let limit = limit.clamp(1, PAGE_MAX);
        let list = ListQuery { tenant, consumer, topic, after, limit };
        let found = self.shared.engine.list(list).await?;
        let topics = found.records.iter().map(|(key, _)| TopicKey::new(key.tenant.clone(), key.topic.clone()));
        let heads = self.bus.heads(topics.collect()).await?;
        let now = self.shared.clock.now();
        let cursors = found.records.into_iter().zip(heads).map(|((key, mut progress), head)| {
            progress.expire(now);
            let position = progress.done();
            let behind = if position.epoch == head.last.epoch { position.offset } else { 0 };
            Cursor {
                consumer: key.consumer,
                topic: key.topic,
                position,
                lag: head.last.offset.saturating_sub(behind.max(head.first.saturating_sub(1))),
                leased: progress.leased(),
                leases: progress.leases.len(),
                waiting: progress.waiting.iter().map(|waiting| waiting.stretch.len()).sum(),
                moved_at: progress.moved_at,
            }
        });
        let cursors: Vec<Cursor> = cursors.collect();
        let next = cursors.last().filter(|_| found.more).map(|cursor| format!("{}/{}", cursor.consumer, cursor.topic));
        Ok(Page { cursors, next })
    }
}
