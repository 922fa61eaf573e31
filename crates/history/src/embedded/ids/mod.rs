//! What is remembered of event ids: the idempotency window.
//!
//! An id is known by a hash of 128 bits of the topic's number and the id, seeded with a secret of the store, so
//! that nobody finds two ids that are the same. The recent ones are in memory. When they are moved to the store
//! those of one topic are one *chunk*; a filter in memory says of nearly every id that is new that the store need
//! not be asked.

mod chunk;
mod filter;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use fanfare_model::{EventId, Timestamp};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::fault::Fault;
use super::key::TopicId;
use super::store::Base;

pub(super) use chunk::{Chunk, expiry};
pub(super) use filter::{Filter, Moves};

/// Stands for an event id of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdHash(u128);

impl IdHash {
    pub(super) fn of(secret: u64, topic: TopicId, id: &EventId) -> Self {
        Self(xxh3_128_with_seed(id.as_str().as_bytes(), secret ^ topic.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// In this form they sort as the hashes do.
    pub(super) fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    fn low(self) -> u64 {
        u64::try_from(self.0 & u128::from(u64::MAX)).unwrap_or_default()
    }

    fn high(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or_default()
    }
}

impl std::hash::Hash for IdHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low());
    }
}

/// A hash is its own hash.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Where and when an event id was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdEntry {
    pub(super) topic: TopicId,
    pub(super) offset: u64,
    pub(super) time: Timestamp,
    /// From when on it may be forgotten.
    pub(super) expires: Timestamp,
}

/// The ids of events that are recent.
pub(super) type RecentIds = HashMap<IdHash, IdEntry, BuildHasherDefault<AsItIs>>;

/// What an id takes of the memory of recent events.
pub(super) const BYTES: usize = 96;

/// The writer's knowledge of ids.
pub(super) struct Ids {
    pub(super) recent: RecentIds,
    /// Those that are being moved to the store.
    pub(super) moving: Option<Arc<RecentIds>>,
    /// Those in the store.
    pub(super) stored: Arc<Filter>,
}

impl Ids {
    pub(super) fn new(stored: Arc<Filter>) -> Self {
        Self { recent: RecentIds::default(), moving: None, stored }
    }

    /// What is known of an id. An entry may have expired.
    pub(super) fn find(&self, base: &Base, topic: TopicId, id: IdHash) -> Result<Option<IdEntry>, Fault> {
        let moving = || self.moving.as_ref().and_then(|moving| moving.get(&id));
        if let Some(entry) = self.recent.get(&id).or_else(moving) {
            return Ok(Some(*entry));
        }
        match self.stored.find(id) {
            Some(chunks) => base.id(topic, id, chunks),
            None => Ok(None),
        }
    }

    /// Takes those that are recent away, to be moved to the store.
    pub(super) fn begin_move(&mut self) -> Arc<RecentIds> {
        let moving = Arc::new(std::mem::take(&mut self.recent));
        self.moving = Some(Arc::clone(&moving));
        moving
    }
}
