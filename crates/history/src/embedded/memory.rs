//! What readers see: the recent events, which are in memory and in the write-ahead log, and behind them the store.
//!
//! Appends go to the *recent* events. When those are many they become the *moving* ones, which change no more, and
//! a thread moves them to the store. Everything here has been confirmed as its policy asks: an event that is
//! written but not yet on the disk is not here.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use fanfare_model::{Epoch, Event, Timestamp, TopicKey};
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::fault::Fault;
use super::store::Base;
use super::topic::TopicRecord;
use crate::record::event::Summary;

/// What an event takes beyond [`fanfare_model::Draft::size`]: itself, its place in its topic, its names.
const EVENT_BYTES: usize = 400;
/// What a topic takes beside its events.
const TOPIC_BYTES: usize = 400;

/// A topic that was changed since its events were last moved.
pub(super) struct RecentTopic {
    pub(super) record: TopicRecord,
    /// Its new events that are kept, in their order.
    pub(super) events: VecDeque<Arc<Event>>,
}

/// The topics that were changed since the last move.
#[derive(Default)]
pub(super) struct Recent {
    pub(super) topics: HashMap<TopicKey, RecentTopic>,
    pub(super) bytes: usize,
}

fn bytes_of(event: &Event) -> usize {
    event.draft.size() + EVENT_BYTES
}

impl Recent {
    /// The topic is now as `record` says; `new` are its new events.
    pub(super) fn put(&mut self, key: &TopicKey, record: TopicRecord, new: impl Iterator<Item = Arc<Event>>) {
        let topic = self.topics.entry_ref(key).or_insert_with(|| {
            self.bytes += TOPIC_BYTES;
            RecentTopic { record, events: VecDeque::new() }
        });
        if topic.record.tid != record.tid {
            self.bytes -= topic.events.drain(..).map(|event| bytes_of(&event)).sum::<usize>();
        }
        topic.record = record;
        while let Some(event) = topic.events.pop_front_if(|event| event.offset < record.head.first) {
            self.bytes -= bytes_of(&event);
        }
        for event in new.filter(|event| event.offset >= record.head.first) {
            self.bytes += bytes_of(&event);
            topic.events.push_back(event);
        }
    }
}

/// Everything that readers see.
pub(super) struct Memory {
    pub(super) recent: Recent,
    pub(super) moving: Option<Arc<Recent>>,
    /// `None` while the store is being opened again.
    pub(super) base: Option<Arc<Base>>,
    /// The epoch of topics that have no record.
    pub(super) epoch: Epoch,
}

/// What the writer, the mover and the readers share.
pub(super) type Shared = RwLock<Memory>;

impl Memory {
    pub(super) fn base(&self) -> Result<Arc<Base>, Fault> {
        self.base.clone().ok_or(Fault::Waiting)
    }

    /// What is in memory of a topic; `None` if nothing is, so that the store knows all there is.
    pub(super) fn topic(&self, key: &TopicKey) -> Option<InMemory<'_>> {
        let moving = self.moving.as_ref().and_then(|moving| moving.topics.get(key));
        let recent = self.recent.topics.get(key);
        let record = recent.or(moving)?.record;
        // Events of a former life, before the topic was purged, are nobody's.
        let of_this_life = |topic: &&RecentTopic| topic.record.tid == record.tid;
        let parts = [moving, recent].map(|topic| topic.filter(of_this_life).map(|topic| &topic.events));
        Some(InMemory { record, parts })
    }

    /// Makes the recent events the moving ones.
    pub(super) fn begin_move(&mut self) -> Arc<Recent> {
        let moving = Arc::new(std::mem::take(&mut self.recent));
        self.moving = Some(Arc::clone(&moving));
        moving
    }
}

/// The record of a topic, and those of its events that are in memory.
pub(super) struct InMemory<'a> {
    pub(super) record: TopicRecord,
    parts: [Option<&'a VecDeque<Arc<Event>>>; 2],
}

/// Where a search by time ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// The first event at that time or later is at or after this offset, and in memory if there is one.
    Here(u64),
    /// It is in the store, or is the first that is in memory.
    Stored,
}

impl<'a> InMemory<'a> {
    /// A topic that only the store knows.
    pub(super) fn stored(record: TopicRecord) -> Self {
        Self { record, parts: [None, None] }
    }

    /// Those of its events that are kept and have these offsets, in their order.
    pub(super) fn events(&self, offsets: RangeInclusive<u64>) -> impl DoubleEndedIterator<Item = &'a Arc<Event>> {
        let (begin, end) = ((*offsets.start()).max(self.record.head.first), *offsets.end());
        self.parts.into_iter().flatten().flat_map(move |part| {
            let from = part.partition_point(|event| event.offset < begin);
            let to = part.partition_point(|event| event.offset <= end);
            part.range(from..to.max(from))
        })
    }

    /// The first one that is kept.
    pub(super) fn first(&self) -> Option<&'a Arc<Event>> {
        self.events(0..=u64::MAX).next()
    }

    /// The first one that was appended at `time` or later. Times never decrease.
    pub(super) fn since(&self, time: Timestamp) -> Since {
        if self.first().is_none_or(|first| first.time >= time) {
            return Since::Stored;
        }
        let none = self.record.head.last.offset + 1;
        Since::Here(
            self.parts
                .into_iter()
                .flatten()
                .find_map(|part| {
                    let at = part.partition_point(|event| event.time < time);
                    part.get(at).map(|event| event.offset)
                })
                .unwrap_or(none),
        )
    }

    /// Offset, size and time of the oldest events from `from` on, at most `max`.
    pub(super) fn summaries(&self, from: u64, max: usize) -> Vec<Summary> {
        self.events(from..=u64::MAX).take(max).map(|event| Summary::of(event)).collect()
    }
}
