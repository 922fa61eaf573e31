//! The log of one topic in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use fanfare_model::{Epoch, Event, EventId, Position, Tag, Timestamp, TopicKey};
use hashbrown::HashMap;

use crate::{Append, Appended, Direction, Head, Keep, Page, Read, ReadFrom, Stretch};

pub(super) struct TopicLog {
    key: TopicKey,
    last: Position,
    time: Option<Timestamp>,
    bytes: u64,
    events: VecDeque<Arc<Event>>,
    ids: HashMap<EventId, (u64, Timestamp)>,
    /// The ids in the order of their appends, to forget the oldest.
    ids_by_age: VecDeque<EventId>,
    ids_max: usize,
    age_max: Option<std::time::Duration>,
    /// The shard's turn when it was last appended to.
    pub(super) used: u64,
    /// Whether it was ever appended to; `false` for one that is here because it was purged.
    pub(super) ever_appended: bool,
}

impl TopicLog {
    pub(super) fn new(key: TopicKey, epoch: Epoch, ids_max: usize) -> Self {
        Self {
            key,
            last: Position::origin(epoch),
            time: None,
            bytes: 0,
            events: VecDeque::new(),
            ids: HashMap::new(),
            ids_by_age: VecDeque::new(),
            ids_max,
            age_max: None,
            used: 0,
            ever_appended: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn head(&self) -> Head {
        Head {
            last: self.last,
            first: self.events.front().map_or(self.last.offset + 1, |event| event.offset),
            events: self.events.len() as u64,
            bytes: self.bytes,
            time: self.time,
        }
    }

    /// Where this id was stored, if it was within the window.
    pub(super) fn appended_before(&mut self, id: &EventId, keep: &Keep, now: Timestamp) -> Option<Appended> {
        while let Some(oldest) = self.ids_by_age.front() {
            let expired = self.ids.get(oldest).is_none_or(|(_, time)| now.since(*time) >= keep.idempotency_window);
            if !expired && self.ids.len() <= self.ids_max {
                break;
            }
            self.ids.remove(oldest);
            self.ids_by_age.pop_front();
        }
        let (offset, time) = *self.ids.get(id)?;
        let position = Position { epoch: self.last.epoch, offset, tag: Tag::of(id) };
        Some(Appended { position, time, duplicate: true })
    }

    /// Appends and trims; returns the event and how many were trimmed.
    pub(super) fn append(&mut self, item: Append, now: Timestamp) -> (Arc<Event>, u64) {
        let Append { draft, keep, .. } = item;
        let time = self.time.map_or(now, |last| last.max(now));
        let event = Arc::new(Event {
            topic: self.key.clone(),
            epoch: self.last.epoch,
            offset: self.last.offset + 1,
            prev: self.last.offset,
            time,
            draft,
        });
        self.put(Arc::clone(&event), &keep);
        (event, self.make_room(&keep))
    }

    /// Puts what another log had at the end of this one, which it fits.
    pub(super) fn restore(&mut self, stretch: Stretch) {
        let Stretch { keep, head, events, .. } = stretch;
        let known = self.last.offset;
        if known == 0 {
            self.last = Position::origin(head.last.epoch);
        }
        for event in events.into_iter().filter(|event| event.offset > known) {
            self.put(event, &keep);
        }
        if self.events.is_empty() {
            (self.last, self.time) = (head.last, head.time);
        }
        self.ever_appended = true;
        self.make_room(&keep);
    }

    /// Puts an event that has its place at the end.
    fn put(&mut self, event: Arc<Event>, keep: &Keep) {
        if !keep.idempotency_window.is_zero() {
            self.ids.insert(event.draft.id.clone(), (event.offset, event.time));
            self.ids_by_age.push_back(event.draft.id.clone());
        }
        self.last = event.position();
        self.time = Some(event.time);
        self.age_max = keep.age_max;
        self.ever_appended = true;
        self.bytes += event.draft.size() as u64;
        self.events.push_back(event);
    }

    /// Trims to what the policy keeps; says how many that were.
    fn make_room(&mut self, keep: &Keep) -> u64 {
        self.trim_while(|log| {
            keep.events_max.is_some_and(|max| log.events.len() as u64 > max)
                || keep.bytes_max.is_some_and(|max| log.bytes > max)
        })
    }

    fn trim_while(&mut self, surplus: impl Fn(&Self) -> bool) -> u64 {
        let before = self.events.len();
        while !self.events.is_empty() && surplus(self) {
            if let Some(event) = self.events.pop_front() {
                self.bytes -= event.draft.size() as u64;
            }
        }
        (before - self.events.len()) as u64
    }

    pub(super) fn truncate_before(&mut self, offset: u64) -> u64 {
        self.trim_while(|log| log.events.front().is_some_and(|event| event.offset < offset))
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> u64 {
        let Some(age_max) = self.age_max else { return 0 };
        let oldest = now.minus(age_max);
        self.trim_while(|log| log.events.front().is_some_and(|event| event.time < oldest))
    }

    /// Removes everything and begins `epoch`.
    pub(super) fn purge(&mut self, epoch: Epoch) {
        let used = self.used;
        *self = Self::new(self.key.clone(), epoch, self.ids_max);
        self.used = used;
    }

    pub(super) fn read(&self, read: &Read, now: Timestamp) -> Page {
        let oldest = read.age_max.map(|age| now.minus(age));
        // Times never decrease, so what is too old is a prefix.
        let hidden = oldest.map_or(0, |oldest| self.events.partition_point(|event| event.time < oldest));
        let mut head = self.head();
        head.first = self.events.get(hidden).map_or(self.last.offset + 1, |event| event.offset);
        let at_offset = |offset| self.events.partition_point(|event| event.offset < offset);
        let at_time = |time| self.events.partition_point(|event| event.time < time);
        // Indices `begin..end` of what is ahead in the direction of reading.
        let (begin, end) = match (read.direction, read.from) {
            (Direction::Forward, ReadFrom::Offset(offset)) => (at_offset(offset), self.events.len()),
            (Direction::Forward, ReadFrom::Time(time)) => (at_time(time), self.events.len()),
            (_, ReadFrom::End) => (0, self.events.len()),
            (Direction::Backward, ReadFrom::Offset(offset)) => (0, at_offset(offset.saturating_add(1))),
            (Direction::Backward, ReadFrom::Time(time)) => (0, at_time(time)),
        };
        let begin = begin.max(hidden);
        let ahead = self.events.range(begin..end.max(begin));
        let (events, more) = match read.direction {
            Direction::Forward => cut(ahead, read),
            Direction::Backward => cut(ahead.rev(), read),
        };
        Page { events, head, more }
    }
}

/// What the limits of `read` allow of `events`, and whether something is left.
fn cut<'a>(mut events: impl Iterator<Item = &'a Arc<Event>>, read: &Read) -> (Vec<Arc<Event>>, bool) {
    let mut taken = Vec::new();
    let mut bytes = 0;
    while taken.len() < read.limit && (taken.is_empty() || bytes < read.bytes_max) {
        let Some(event) = events.next() else { return (taken, false) };
        bytes += event.draft.size();
        taken.push(Arc::clone(event));
    }
    (taken, events.next().is_some())
}
