//! Retention: which of its oldest events a topic does not keep. What they take on the disk is freed when the topic
//! is moved to the store.

use std::collections::VecDeque;

use fanfare_model::{Timestamp, TopicKey};

use super::fault::Fault;
use super::memory::Shared;
use super::read;
use super::topic::TopicRecord;
use crate::record::event::Summary;

/// How far trimming came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trimmed {
    /// The first that is kept is of this time.
    UpTo(Timestamp),
    /// Nothing that was stored is left.
    All,
    /// There may be more to remove.
    Unfinished,
}

/// The oldest events of one topic.
pub(super) struct Oldest<'a> {
    pub(super) shared: &'a Shared,
    pub(super) topic: &'a TopicKey,
    /// Those that have been looked up.
    pub(super) known: &'a mut VecDeque<Summary>,
}

impl Oldest<'_> {
    /// The first event at `offset` or later.
    fn first(&mut self, offset: u64) -> Result<Option<Summary>, Fault> {
        while self.known.pop_front_if(|event| event.offset < offset).is_some() {}
        if self.known.is_empty() {
            self.known.extend(read::oldest(self.shared, self.topic, offset)?);
        }
        Ok(self.known.front().copied())
    }

    /// Removes from the record what is oldest while `surplus(record, event)`, at most `budget` events. `last` is the
    /// offset of the last event that everybody sees. Adds to `removed` how many it was.
    pub(super) fn trim(
        &mut self,
        record: &mut TopicRecord,
        last: u64,
        budget: u64,
        removed: &mut u64,
        surplus: impl Fn(&TopicRecord, Summary) -> bool,
    ) -> Result<Trimmed, Fault> {
        let removed_max = *removed + budget;
        while record.head.first <= last {
            let Some(event) = self.first(record.head.first)? else { break };
            record.head.first = event.offset;
            if !surplus(record, event) {
                return Ok(Trimmed::UpTo(event.time));
            }
            if *removed >= removed_max {
                return Ok(Trimmed::Unfinished);
            }
            record.head.events = record.head.events.saturating_sub(1);
            record.head.bytes = record.head.bytes.saturating_sub(event.size);
            record.head.first = event.offset + 1;
            *removed += 1;
        }
        record.head.first = last + 1;
        Ok(Trimmed::All)
    }
}

/// From when on an event of this time is too old.
pub(super) fn due_at(first: Timestamp, age_max: std::time::Duration) -> Timestamp {
    first.plus(age_max).plus(std::time::Duration::from_micros(1))
}
