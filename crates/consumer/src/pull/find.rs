//! Finds what is to be given out: first what came back, then what is new.

use std::sync::Arc;

use fanfare_bus::{Direction, Page, Read, ReadFrom};
use fanfare_model::{Event, Gap, GapReason, Position, Tag, Timestamp, TopicKey};

use super::Pull;
use crate::{Error, Handle, LeaseId, Progress, Stretch};

/// A batch that has its lease.
pub(super) struct Found {
    pub(super) lease: LeaseId,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) deliveries: u32,
    pub(super) gap: Option<Gap>,
    pub(super) position: Position,
    pub(super) more: bool,
}

/// New events, as the log has them.
struct New {
    events: Vec<Arc<Event>>,
    gap: Option<Gap>,
    /// The end of them, or of the gap.
    to: Position,
    more: bool,
}

impl Handle {
    /// Takes a lease on the next batch, if there is one.
    pub(super) async fn find_events(
        &self,
        pull: &Pull,
        progress: &mut Progress,
        now: Timestamp,
    ) -> Result<Option<Found>, Error> {
        let options = &self.shared.options;
        let (limit, until) = (pull.limit(options.events_max), pull.until(options.lease_max.get(), now));
        if let Some(due) = progress.due() {
            let limit = if self.is_last_time(&pull.topic, due) { 1 } else { limit };
            let page = self.read(&pull.topic, ReadFrom::Offset(due.first), limit).await?;
            if same_log(progress, &page.head.last) {
                let again = Again::find(due, page, self.is_dead(&pull.topic, due));
                return Ok(Some(again.give(due, progress, now, until)));
            }
        }
        if !progress.has_room(options.leases_max) {
            return Err(Error::TooManyLeases { most: options.leases_max });
        }
        let New { events, gap, to, more } = self.new_events(&pull.topic, progress, limit, now).await?;
        if events.is_empty() && gap.is_none() {
            return Ok(None);
        }
        let lease = progress.lease_new(gap, to, now, until);
        Ok(Some(Found { lease, events, deliveries: 1, gap, position: to, more }))
    }

    /// The events after the frontier. If the log began a new life, the progress is that of the new one afterwards.
    async fn new_events(
        &self,
        topic: &TopicKey,
        progress: &mut Progress,
        limit: usize,
        now: Timestamp,
    ) -> Result<New, Error> {
        let frontier = progress.frontier;
        let provable = frontier.tag != Tag::NONE;
        let from = if provable { frontier.offset } else { frontier.offset + 1 };
        // With the event at the frontier itself, which proves that this is the log the consumer saw.
        let mut page = self.read(topic, ReadFrom::Offset(from), limit.saturating_add(1)).await?;
        let first = page.events.first().filter(|event| event.offset == frontier.offset);
        let forked = first.is_some_and(|event| event.position() != frontier);
        if forked || !same_log(progress, &page.head.last) {
            return self.reborn(topic, progress, limit, now).await;
        }
        if first.is_some() {
            page.events.remove(0);
            if page.events.is_empty() && page.more {
                // It was so large that nothing else fitted.
                page = self.read(topic, ReadFrom::Offset(frontier.offset + 1), limit).await?;
            }
        }
        let more = page.more || page.events.len() > limit;
        page.events.truncate(limit);
        let before = page.events.first().map_or(page.head.last.offset, |event| event.prev);
        let gap = (before > frontier.offset).then(|| Gap {
            from: frontier.offset + 1,
            to: before,
            reason: GapReason::Trimmed,
        });
        let to = page.events.last().map_or(page.head.last, |event| event.position());
        Ok(New { events: page.events, gap, to, more })
    }

    /// The log is not the one that the consumer saw: it goes on with the oldest event of the new one.
    async fn reborn(
        &self,
        topic: &TopicKey,
        progress: &mut Progress,
        limit: usize,
        now: Timestamp,
    ) -> Result<New, Error> {
        let from = progress.done().offset + 1;
        let page = self.read(topic, ReadFrom::End, limit).await?;
        let head = page.head;
        let reason = if progress.frontier.epoch == head.last.epoch { GapReason::Fork } else { GapReason::Epoch };
        let before = page.events.first().map_or(head.last.offset, |event| event.prev.max(head.first.saturating_sub(1)));
        progress.restart(Position { offset: before, tag: Tag::NONE, ..head.last }, now);
        let to = page.events.last().map_or(progress.frontier, |event| event.position());
        Ok(New { events: page.events, gap: Some(Gap { from, to: before, reason }), to, more: page.more })
    }

    pub(super) async fn read(&self, topic: &TopicKey, from: ReadFrom, limit: usize) -> Result<Page, Error> {
        let read = Read {
            topic: topic.clone(),
            from,
            direction: Direction::Forward,
            limit,
            bytes_max: self.shared.options.bytes_max.as_usize(),
            age_max: self.bus.policy(&topic.topic).keep.age_max,
        };
        Ok(self.bus.read(read).await?)
    }
}

/// Whether a log that ends at `head` can be the one that the consumer saw.
pub(super) fn same_log(progress: &Progress, head: &Position) -> bool {
    progress.frontier.epoch == head.epoch && progress.frontier.offset <= head.offset
}

/// What there still is of a due stretch.
struct Again {
    events: Vec<Arc<Event>>,
    gap: Option<Gap>,
    /// So far it is given out; the rest waits on.
    last: u64,
    head: Position,
}

impl Again {
    /// Of a stretch whose events are not to be given out any more (`dead`), only what is missing is told.
    fn find(due: Stretch, page: Page, dead: bool) -> Self {
        let Page { mut events, head, more } = page;
        let read = events.len();
        events.retain(|event| event.offset <= due.last);
        let missing_to = missing_to(due, &events);
        let gap = match (missing_to, due.gap) {
            (Some(to), Some(gap)) => Some(Gap { to, ..gap }),
            (Some(to), None) => Some(Gap { from: due.first, to, reason: GapReason::Trimmed }),
            (None, told) => told,
        };
        // If the log was read beyond the stretch, there is nothing else of it.
        let cut = more && events.len() == read;
        let last = events.last().filter(|_| cut).map_or(due.last, |event| event.offset);
        let head = head.last;
        match missing_to {
            Some(last) if dead => Self { events: Vec::new(), gap, last, head },
            _ => Self { events, gap, last, head },
        }
    }

    fn give(self, due: Stretch, progress: &mut Progress, now: Timestamp, until: Timestamp) -> Found {
        let Self { events, gap, last, head } = self;
        let position =
            events.last().map_or(Position { offset: last, tag: Tag::NONE, ..head }, |event| event.position());
        let lease = progress.lease_again(due, last, gap, now, until);
        let more = progress.due().is_some() || progress.frontier.offset < head.offset;
        Found { lease, events, deliveries: due.deliveries.saturating_add(1), gap, position, more }
    }
}

/// How far a due stretch is missing at its beginning, if it is; `events` are those of it that are there.
pub(super) fn missing_to(due: Stretch, events: &[Arc<Event>]) -> Option<u64> {
    let before = events.first().map_or(due.last, |event| event.prev.min(due.last));
    (before >= due.first).then_some(before)
}
