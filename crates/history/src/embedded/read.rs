//! Reading a topic: from the store, and on from there in memory.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use fanfare_model::{Event, Timestamp, TopicKey};

use super::fault::Fault;
use super::key;
use super::memory::{InMemory, Memory, Shared, Since};
use super::page;
use super::store::Base;
use super::topic::TopicRecord;
use crate::record::codec::Damage;
use crate::record::event::Summary;
use crate::{Direction, Head, Page, Read, ReadFrom, TopicPage, TopicsQuery};

/// The record of a topic; `None` if it is not known.
pub(super) fn record(shared: &Shared, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
    let base = {
        let memory = shared.read();
        match memory.topic(topic) {
            Some(topic) => return Ok(Some(topic.record)),
            None => memory.base()?,
        }
    };
    base.topic(topic)
}

/// The end of a topic's log.
pub(super) fn head(shared: &Shared, topic: &TopicKey) -> Result<Head, Fault> {
    let epoch = shared.read().epoch;
    Ok(record(shared, topic)?.map_or_else(|| Head::empty(epoch), |record| record.head))
}

/// Offset, size and time of some of the oldest events of a topic from `from` on; none if there are none.
pub(super) fn oldest(shared: &Shared, topic: &TopicKey, from: u64) -> Result<Vec<Summary>, Fault> {
    let (base, found, first) = {
        let memory = shared.read();
        let found = memory.topic(topic);
        let summaries = found.as_ref().map(|topic| (topic.record, topic.summaries(from, page::EVENTS_MAX)));
        (memory.base()?, summaries, found.and_then(|topic| topic.first().map(|event| event.offset)))
    };
    let (record, in_memory) = match found {
        Some(found) => found,
        None => match base.topic(topic)? {
            Some(record) => (record, Vec::new()),
            None => return Ok(Vec::new()),
        },
    };
    let stored = Stored { base: &base, topic, record: &record, next: first };
    let summaries = stored.oldest(from)?;
    Ok(if summaries.is_empty() { in_memory } else { summaries })
}

/// Reads a stretch of a topic.
pub(super) fn read_page(shared: &Shared, read: &Read, now: Timestamp) -> Result<Page, Fault> {
    let asked = Asked { read, oldest: read.age_max.map(|age_max| now.minus(age_max)) };
    let (base, epoch, found) = {
        let memory = shared.read();
        (memory.base()?, memory.epoch, memory.topic(&read.topic).map(|topic| asked.look(&topic)))
    };
    let found = match found {
        Some(found) => found,
        None => match base.topic(&read.topic)? {
            Some(record) => asked.look(&InMemory::stored(record)),
            None => return Ok(Page { events: Vec::new(), head: Head::empty(epoch), more: false }),
        },
    };
    let Found { record, first, young, from, in_memory } = found;
    let stored = Stored { base: &base, topic: &read.topic, record: &record, next: first };
    let mut head = record.head;
    if let (Some(since), Some(oldest)) = (young, asked.oldest) {
        head.first = stored.resolve(since, oldest)?;
    }
    // The offsets that are ahead in the direction of reading.
    let (mut begin, mut end) = (head.first, head.last.offset);
    match (read.direction, read.from) {
        (_, ReadFrom::End) => {}
        (Direction::Forward, ReadFrom::Offset(offset)) => begin = begin.max(offset),
        (Direction::Backward, ReadFrom::Offset(offset)) => end = end.min(offset),
        (Direction::Forward, ReadFrom::Time(time)) => begin = begin.max(stored.resolve(from, time)?),
        (Direction::Backward, ReadFrom::Time(time)) => end = end.min(stored.resolve(from, time)?.saturating_sub(1)),
    }
    let mut taken = Taken { events: Vec::new(), bytes: 0, read, more: false };
    match read.direction {
        Direction::Forward => {
            stored.forward(begin..=end, &mut taken)?;
            in_memory.into_iter().all(|event| taken.take(event));
        }
        Direction::Backward => {
            if in_memory.into_iter().all(|event| taken.take(event)) {
                stored.backward(begin..=end, &mut taken)?;
            }
        }
    }
    Ok(Page { events: taken.events, head, more: taken.more })
}

/// A read, and the time of the oldest event that is not hidden for its age.
struct Asked<'a> {
    read: &'a Read,
    oldest: Option<Timestamp>,
}

/// What memory has of what is asked for.
struct Found {
    record: TopicRecord,
    /// The offset of the first event in memory.
    first: Option<u64>,
    /// Where the events begin that are not hidden for their age.
    young: Option<Since>,
    /// Where the time is that reading begins at.
    from: Since,
    /// In the direction of reading; one more than the limits allow, if there are so many.
    in_memory: Vec<Arc<Event>>,
}

impl Asked<'_> {
    fn look(&self, topic: &InMemory<'_>) -> Found {
        let young = self.oldest.map(|oldest| topic.since(oldest));
        let from = match self.read.from {
            ReadFrom::Time(time) => topic.since(time),
            ReadFrom::Offset(offset) => Since::Here(offset),
            ReadFrom::End => Since::Here(0),
        };
        let offset = |since| match since {
            Since::Here(offset) => offset,
            Since::Stored => 0,
        };
        let begin = young.map_or(0, offset);
        let in_memory = match (self.read.direction, self.read.from) {
            (Direction::Forward, _) => self.enough(topic.events(begin.max(offset(from))..=u64::MAX)),
            (Direction::Backward, ReadFrom::End) => self.enough(topic.events(begin..=u64::MAX).rev()),
            (Direction::Backward, ReadFrom::Offset(end)) => self.enough(topic.events(begin..=end).rev()),
            (Direction::Backward, ReadFrom::Time(_)) => match offset(from).checked_sub(1) {
                Some(end) => self.enough(topic.events(begin..=end).rev()),
                None => Vec::new(),
            },
        };
        Found { record: topic.record, first: topic.first().map(|event| event.offset), young, from, in_memory }
    }

    fn enough<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>) -> Vec<Arc<Event>> {
        let (mut enough, mut bytes) = (Vec::new(), 0);
        for event in events.take(self.read.limit.saturating_add(1)) {
            enough.push(Arc::clone(event));
            // This is the one too many.
            if bytes >= self.read.bytes_max && enough.len() > 1 {
                break;
            }
            bytes += event.draft.size();
        }
        enough
    }
}

/// What a read has found, within its limits.
struct Taken<'a> {
    events: Vec<Arc<Event>>,
    bytes: usize,
    read: &'a Read,
    more: bool,
}

impl Taken<'_> {
    fn is_full(&self) -> bool {
        self.events.len() >= self.read.limit || (!self.events.is_empty() && self.bytes >= self.read.bytes_max)
    }

    /// Takes an event unless a limit has been reached; returns whether it did.
    fn take(&mut self, event: Arc<Event>) -> bool {
        self.more |= self.is_full();
        if !self.more {
            self.bytes += event.draft.size();
            self.events.push(event);
        }
        !self.more
    }
}

/// The events of one topic in the store.
struct Stored<'a> {
    base: &'a Base,
    topic: &'a TopicKey,
    record: &'a TopicRecord,
    /// The offset of the first event in memory: the store's end before it.
    next: Option<u64>,
}

impl Stored<'_> {
    /// Those of `offsets` that are stored, if any are.
    fn within(&self, offsets: RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
        let begin = (*offsets.start()).max(self.record.head.first);
        let end = self.next.map_or(self.record.head.last.offset, |next| next - 1).min(*offsets.end());
        (begin <= end).then_some(begin..=end)
    }

    fn pages(
        &self,
        offsets: &RangeInclusive<u64>,
    ) -> Result<impl DoubleEndedIterator<Item = Result<page::Page, Fault>>, Fault> {
        let first = self.base.page_of(self.record.tid, *offsets.start())?;
        Ok(self.base.pages(self.record.tid, first..=*offsets.end()))
    }

    fn forward(&self, offsets: RangeInclusive<u64>, taken: &mut Taken<'_>) -> Result<(), Fault> {
        let Some(offsets) = self.within(offsets) else { return Ok(()) };
        for page in self.pages(&offsets)? {
            for event in page?.events() {
                let event = event.map_err(|damage| self.damaged(damage))?;
                if offsets.contains(&event.summary.offset) {
                    // Whether there is more is known without reading it.
                    if taken.is_full() {
                        taken.more = true;
                        return Ok(());
                    }
                    taken.take(self.decode(&event)?);
                }
            }
        }
        Ok(())
    }

    fn backward(&self, offsets: RangeInclusive<u64>, taken: &mut Taken<'_>) -> Result<(), Fault> {
        let Some(offsets) = self.within(offsets) else { return Ok(()) };
        for page in self.pages(&offsets)?.rev() {
            let page = page?;
            let events: Vec<_> = page.events().collect::<Result<_, _>>().map_err(|damage| self.damaged(damage))?;
            for event in events.iter().rev().filter(|event| offsets.contains(&event.summary.offset)) {
                if taken.is_full() {
                    taken.more = true;
                    return Ok(());
                }
                taken.take(self.decode(event)?);
            }
        }
        Ok(())
    }

    fn decode(&self, event: &page::Stored<'_>) -> Result<Arc<Event>, Fault> {
        let epoch = self.record.head.last.epoch;
        event.decode(self.topic, epoch).map(Arc::new).map_err(|damage| self.damaged(damage))
    }

    /// The offset that a search by time ends at; one past the last if there is no such event.
    fn resolve(&self, since: Since, time: Timestamp) -> Result<u64, Fault> {
        let after = || self.next.unwrap_or(self.record.head.last.offset + 1);
        match since {
            Since::Here(offset) => Ok(offset),
            Since::Stored => Ok(self.since(time)?.unwrap_or_else(after)),
        }
    }

    /// The first stored event that was appended at `time` or later. Times never decrease, so this is a binary search,
    /// over the offsets that pages begin with, because offsets may jump.
    fn since(&self, time: Timestamp) -> Result<Option<u64>, Fault> {
        let Some(offsets) = self.within(0..=u64::MAX) else { return Ok(None) };
        // A page that begins at or before `low` begins earlier; one that begins at or after `high` does not.
        let (mut low, mut high) = (*offsets.start(), offsets.end() + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.first_at_or_after(middle..=*offsets.end())? {
                Some(event) if event.time < time => low = event.offset,
                Some(_) | None => high = middle,
            }
        }
        for page in self.pages(&(low..=*offsets.end()))? {
            for event in page?.events() {
                let event = event.map_err(|damage| self.damaged(damage))?.summary;
                if event.time >= time && offsets.contains(&event.offset) {
                    return Ok(Some(event.offset));
                }
            }
        }
        Ok(None)
    }

    /// The first event of the first page that begins at one of these offsets.
    fn first_at_or_after(&self, offsets: RangeInclusive<u64>) -> Result<Option<Summary>, Fault> {
        let Some(page) = self.base.pages(self.record.tid, offsets).next() else { return Ok(None) };
        let page = page?;
        let first = page.events().next().transpose().map_err(|damage| self.damaged(damage))?;
        Ok(first.map(|event| event.summary))
    }

    /// The events of one page from `from` on. A page that is damaged counts for nothing: it goes with its neighbours.
    fn oldest(&self, from: u64) -> Result<Vec<Summary>, Fault> {
        let Some(offsets) = self.within(from..=u64::MAX) else { return Ok(Vec::new()) };
        for page in self.pages(&offsets)? {
            let page = match page {
                Ok(page) => page,
                Err(fault @ Fault::Damaged { .. }) => {
                    tracing::error!(error = &fault as &dyn std::error::Error, "a page cannot be read");
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let kept = page.events().map_while(Result::ok).map(|event| event.summary);
            let kept: Vec<_> = kept.filter(|event| offsets.contains(&event.offset)).collect();
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
        Ok(Vec::new())
    }

    fn damaged(&self, damage: Damage) -> Fault {
        Fault::damaged(format!("an event of topic number {}", self.record.tid), damage)
    }
}

/// A page of the topics that were ever appended to.
pub(super) fn topics(shared: &Shared, query: &TopicsQuery) -> Result<TopicPage, Fault> {
    let prefix = key::topics_of(&query.tenant, &query.prefix);
    let after = query.after.as_ref().map(|after| key::topics_of(&query.tenant, after.as_str()));
    let is_wanted = |key: &[u8]| {
        key.starts_with(&prefix) && after.as_ref().is_none_or(|after| key > after.as_slice()) && !key::is_hidden(key)
    };
    let (base, mut found) = {
        let memory = shared.read();
        (memory.base()?, topics_in_memory(&memory, is_wanted))
    };
    let begin = after.clone().filter(|after| *after > prefix).unwrap_or_else(|| prefix.clone());
    let mut stored = 0;
    for entry in base.topics_from(begin) {
        let (key, value) = entry.into_inner()?;
        if !key.starts_with(&prefix) || stored > query.limit {
            break;
        }
        let record = TopicRecord::decode(&value).map_err(|damage| Fault::damaged("a topic", damage))?;
        if is_wanted(&key) && record.ever_appended {
            stored += 1;
            // What is in memory is later.
            found.entry(key.to_vec()).or_insert(record);
        }
    }
    let mut page = TopicPage { topics: Vec::new(), more: false };
    for (key, record) in found.into_iter().filter(|(_, record)| record.ever_appended) {
        if page.topics.len() >= query.limit {
            page.more = true;
            break;
        }
        let damaged = || Fault::damaged("a topic", Damage::Field("its name"));
        page.topics.push((key::read_topic(&key).ok_or_else(damaged)?.topic, record.head));
    }
    Ok(page)
}

/// The topics in memory whose stored names are wanted.
fn topics_in_memory(memory: &Memory, is_wanted: impl Fn(&[u8]) -> bool) -> BTreeMap<Vec<u8>, TopicRecord> {
    let mut found = BTreeMap::new();
    let moving = memory.moving.iter().flat_map(|moving| &moving.topics);
    for (topic, recent) in moving.chain(&memory.recent.topics) {
        let key = key::topic(topic);
        if is_wanted(&key) {
            found.insert(key, recent.record);
        }
    }
    found
}
