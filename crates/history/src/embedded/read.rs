//! Reading a view of the store.

use std::ops::RangeInclusive;
use std::sync::Arc;

use fanfare_model::{Event, Timestamp, TopicKey};

use super::codec::Damage;
use super::event::{self, Summary};
use super::fault::Fault;
use super::key;
use super::store::View;
use super::topic::TopicRecord;
use crate::{Direction, Head, Page, Read, ReadFrom, TopicPage, TopicsQuery};
use fjall::Readable as _;

/// The time of a read that hides nothing for its age.
pub(super) const NO_AGE: Timestamp = Timestamp::from_micros(i64::MIN);

/// The end of a topic's log.
pub(super) fn head(view: &View, topic: &TopicKey) -> Result<Head, Fault> {
    Ok(view.topic(topic)?.map_or_else(|| Head::empty(view.epoch), |record| record.head))
}

/// Reads a stretch of a topic.
pub(super) fn read_page(view: &View, read: &Read, now: Timestamp) -> Result<Page, Fault> {
    let Some(record) = view.topic(&read.topic)? else {
        return Ok(Page { events: Vec::new(), head: Head::empty(view.epoch), more: false });
    };
    let log = Log { view, record: &record };
    let mut head = record.head;
    if let Some(age_max) = read.age_max {
        head.first = log.first_since(now.minus(age_max))?;
    }
    // The offsets that are ahead in the direction of reading.
    let (mut begin, mut end) = (head.first, head.last.offset);
    match (read.direction, read.from) {
        (_, ReadFrom::End) => {}
        (Direction::Forward, ReadFrom::Offset(offset)) => begin = begin.max(offset),
        (Direction::Backward, ReadFrom::Offset(offset)) => end = end.min(offset),
        (Direction::Forward, ReadFrom::Time(time)) => begin = begin.max(log.first_since(time)?),
        (Direction::Backward, ReadFrom::Time(time)) => end = end.min(log.first_since(time)?.saturating_sub(1)),
    }
    let (events, more) = log.take(begin..=end, read)?;
    Ok(Page { events, head, more })
}

/// The log of one topic in a view.
struct Log<'a> {
    view: &'a View,
    record: &'a TopicRecord,
}

impl Log<'_> {
    fn range(&self, offsets: &RangeInclusive<u64>) -> fjall::Iter {
        let tid = self.record.tid;
        let keys = key::log(tid, *offsets.start())..=key::log(tid, *offsets.end());
        self.view.snapshot.range(&self.view.store.log, keys)
    }

    /// Offset and time of the first event at or after `offset`.
    fn at_or_after(&self, offset: u64) -> Result<Option<(u64, Timestamp)>, Fault> {
        let Some(entry) = self.range(&(offset..=u64::MAX)).next() else { return Ok(None) };
        let (key, value) = entry.into_inner()?;
        let offset = key::log_offset(&key).unwrap_or(offset);
        let summary = Summary::of(&value).map_err(|damage| self.damaged(offset, damage))?;
        Ok(Some((offset, summary.time)))
    }

    /// The offset of the first event that was appended at `time` or later; one past the last if there is none.
    /// Times never decrease, so this is a binary search; over keys, because offsets may jump.
    fn first_since(&self, time: Timestamp) -> Result<u64, Fault> {
        let head = &self.record.head;
        let none = head.last.offset + 1;
        match self.at_or_after(head.first)? {
            None => return Ok(none),
            Some((offset, first)) if first >= time => return Ok(offset),
            Some(_) => {}
        }
        if head.time.is_none_or(|last| last < time) {
            return Ok(none);
        }
        // What is at or before `low` is earlier; the first at or after `high` is not.
        let (mut low, mut high) = (head.first, none - 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.at_or_after(middle)? {
                Some((offset, at)) if at < time => low = offset,
                Some(_) | None => high = middle,
            }
        }
        Ok(self.at_or_after(high)?.map_or(none, |(offset, _)| offset))
    }

    /// What the limits of `read` allow of the events in `offsets`, and whether something is left.
    fn take(&self, offsets: RangeInclusive<u64>, read: &Read) -> Result<(Vec<Arc<Event>>, bool), Fault> {
        let mut events = Vec::new();
        if offsets.is_empty() {
            return Ok((events, false));
        }
        let mut bytes = 0;
        let mut entries = self.range(&offsets);
        loop {
            let entry = match read.direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some(entry) = entry else { return Ok((events, false)) };
            if events.len() >= read.limit || (!events.is_empty() && bytes >= read.bytes_max) {
                return Ok((events, true));
            }
            let (key, value) = entry.into_inner()?;
            let offset = key::log_offset(&key).unwrap_or_default();
            let event = event::decode(&read.topic, self.record.head.last.epoch, offset, &value)
                .map_err(|damage| self.damaged(offset, damage))?;
            bytes += event.draft.size();
            events.push(Arc::new(event));
        }
    }

    fn damaged(&self, offset: u64, damage: Damage) -> Fault {
        Fault::damaged(format!("event {offset} of topic number {}", self.record.tid), damage)
    }
}

/// A page of the topics that were ever appended to.
pub(super) fn topics(view: &View, query: &TopicsQuery) -> Result<TopicPage, Fault> {
    use std::ops::Bound;
    let prefix = key::topics_of(&query.tenant, &query.prefix);
    let after = query.after.as_ref().map(|after| key::topics_of(&query.tenant, after.as_str()));
    let begin = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix.clone()),
    };
    let mut page = TopicPage { topics: Vec::new(), more: false };
    for entry in view.snapshot.range(&view.store.topics, (begin, Bound::Unbounded)) {
        let (key, value) = entry.into_inner()?;
        if !key.starts_with(&prefix) {
            break;
        }
        let damaged = |damage| Fault::damaged("a topic", damage);
        let record = TopicRecord::decode(&value).map_err(damaged)?;
        if !record.ever_appended {
            continue;
        }
        if page.topics.len() >= query.limit {
            page.more = true;
            break;
        }
        let topic = key::read_topic(&key).ok_or(Damage::Field("its name")).map_err(damaged)?.topic;
        page.topics.push((topic, record.head));
    }
    Ok(page)
}
