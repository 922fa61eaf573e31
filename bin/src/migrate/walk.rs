//! Reading a topic from one end to the other.

use std::collections::VecDeque;
use std::sync::Arc;

use fanfare_bus::{Direction, Head, Page, Read, ReadFrom};
use fanfare_model::{Event, TopicKey};

use crate::failure::Failure;
use crate::serve::engine::Kept;

/// The most events and bytes of a page: what is held of each side at a time.
const EVENTS_MAX: usize = 1000;
const BYTES_MAX: usize = 4 << 20;

/// The kept events of a topic, in their order.
pub(super) struct Walk<'a> {
    kept: &'a Kept,
    topic: &'a TopicKey,
    /// Where the next page begins; `None`: there is none.
    next: Option<u64>,
    page: VecDeque<Arc<Event>>,
}

impl<'a> Walk<'a> {
    /// From this offset on, or what is left after it.
    pub(super) fn from(kept: &'a Kept, topic: &'a TopicKey, offset: u64) -> Self {
        Self { kept, topic, next: Some(offset), page: VecDeque::new() }
    }

    /// The next page and the head; no events at the end.
    pub(super) async fn page(&mut self) -> Result<(Vec<Arc<Event>>, Head), Failure> {
        let from = ReadFrom::Offset(self.next.unwrap_or(u64::MAX));
        let page = read(self.kept, self.topic, from, Direction::Forward, EVENTS_MAX).await?;
        self.next = page.events.last().filter(|_| page.more).map(|last| last.offset + 1);
        Ok((page.events, page.head))
    }

    /// Whether a page is left.
    pub(super) fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Result<Option<Arc<Event>>, Failure> {
        while self.page.is_empty() && self.has_more() {
            self.page = self.page().await?.0.into();
        }
        Ok(self.page.pop_front())
    }
}

/// The newest event that is kept of a topic.
pub(super) async fn last(kept: &Kept, topic: &TopicKey) -> Result<Option<Arc<Event>>, Failure> {
    Ok(read(kept, topic, ReadFrom::End, Direction::Backward, 1).await?.events.pop())
}

async fn read(
    kept: &Kept,
    topic: &TopicKey,
    from: ReadFrom,
    direction: Direction,
    limit: usize,
) -> Result<Page, Failure> {
    let read = Read { topic: topic.clone(), from, direction, limit, bytes_max: BYTES_MAX, age_max: None };
    kept.broker.read(read).await.map_err(|error| kept.failed("read", error))
}
