//! The log as it is at the end.

use std::collections::HashMap;

use super::observation::Place;

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its offset.
    pub offset: u64,
    /// Its id.
    pub id: String,
    /// A hash of its data.
    pub hash: u64,
    /// When it was stored, µs since 1970: never before the one before it.
    pub time: u64,
}

/// What a topic's log holds when all is over, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which life of the log.
    pub epoch: u32,
    /// Its events.
    pub entries: Vec<Entry>,
}

/// A log that can be asked where something is.
pub(super) struct Index<'a> {
    pub(super) log: &'a Log,
    by_id: HashMap<&'a str, u64>,
}

impl<'a> Index<'a> {
    pub(super) fn of(log: &'a Log) -> Self {
        Self { log, by_id: log.entries.iter().map(|entry| (entry.id.as_str(), entry.offset)).collect() }
    }

    /// Where an event is.
    pub(super) fn place_of(&self, id: &str) -> Option<Place> {
        self.by_id.get(id).map(|&offset| Place { epoch: self.log.epoch, offset })
    }

    /// The oldest that is kept; what lies before may have been trimmed. Beyond everything if nothing is kept.
    pub(super) fn first(&self) -> u64 {
        self.log.entries.first().map_or(u64::MAX, |entry| entry.offset)
    }

    /// The entries with offsets above `after`.
    pub(super) fn above(&self, after: u64) -> &'a [Entry] {
        let begin = self.log.entries.partition_point(|entry| entry.offset <= after);
        &self.log.entries[begin..]
    }
}
