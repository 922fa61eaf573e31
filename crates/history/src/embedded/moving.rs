//! Moving the recent events to the store.
//!
//! A move is made of batches, each a whole step for the topics in it: a topic is moved or not. A move that is
//! interrupted is made again, from memory or after a crash from the write-ahead log, and skips what is there
//! already: the record of a topic says up to which frame of the log it is.

use std::sync::Arc;

use fanfare_model::{Timestamp, TopicKey};
use fjall::{Keyspace, OwnedWriteBatch};

use super::fault::Fault;
use super::ids::{Chunk, Filter, IdEntry, IdHash, RecentIds};
use super::key;
use super::life::Life;
use super::memory::{Recent, RecentTopic};
use super::page::Page;
use super::store::Store;
use super::topic::TopicRecord;

/// How many bytes a batch has before it is committed: enough that its own cost does not count.
const BATCH_BYTES: usize = if cfg!(test) { 300 } else { 1 << 20 };
/// How many ids of a topic are one chunk at most: 40 KB, which are checked in microseconds.
const CHUNK_IDS_MAX: usize = if cfg!(test) { 5 } else { 1024 };

/// What is to be moved, and the record of the store's life when it has been.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) recent: Arc<Recent>,
    pub(super) ids: Arc<RecentIds>,
    pub(super) life: Life,
}

/// A move that is under way.
struct Move<'a> {
    store: &'a Store,
    /// What is committed together next.
    batch: OwnedWriteBatch,
    bytes: usize,
    is_stopped: &'a dyn Fn() -> bool,
}

impl Order {
    /// Moves everything to the store and makes it sure there; tells the filter of the ids. `is_stopped` is asked
    /// between the steps.
    pub(super) fn carry_out(
        &self,
        store: &Store,
        filter: &Filter,
        now: Timestamp,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        let mut to = Move { store, batch: store.batch(), bytes: 0, is_stopped };
        // First of all, so that after a crash no number is given out again that a moved topic has.
        if let Some(before) = store.life()? {
            store.put_life(&mut to.batch, &self.life.before_move(&before));
        }
        self.move_ids(&mut to, filter, now)?;
        for (key, topic) in &self.recent.topics {
            to.topic(key, topic)?;
            to.step()?;
        }
        // Those that were purged now are among them.
        to.commit()?;
        to.remove_purged()?;
        store.put_life(&mut to.batch, &self.life);
        to.batch.commit()?;
        store.sync()
    }

    fn move_ids(&self, to: &mut Move<'_>, filter: &Filter, now: Timestamp) -> Result<(), Fault> {
        let mut ids: Vec<(IdHash, IdEntry)> =
            self.ids.iter().filter(|(_, entry)| entry.expires > now).map(|(id, entry)| (*id, *entry)).collect();
        ids.sort_unstable_by_key(|(id, entry)| (entry.topic, *id));
        let number = self.life.wal_from;
        for of_topic in ids.chunk_by(|(_, a), (_, b)| a.topic == b.topic) {
            for ids in of_topic.chunks(CHUNK_IDS_MAX) {
                let Some((first, IdEntry { topic, .. })) = ids.first() else { continue };
                to.insert(&to.store.ids, &key::chunk(*topic, number, *first), Chunk::encode(*topic, ids));
                to.step()?;
            }
        }
        let expires = ids.iter().map(|(_, entry)| entry.expires).max().unwrap_or(now);
        filter.add(number, now, expires, ids.iter().map(|(id, _)| *id));
        Ok(())
    }
}

impl Move<'_> {
    fn insert(&mut self, keyspace: &Keyspace, key: &[u8], value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.batch.insert(keyspace, key, value);
    }

    fn remove(&mut self, keyspace: &Keyspace, key: &[u8]) {
        self.bytes += key.len();
        self.batch.remove(keyspace, key);
    }

    /// What is in the batch may be committed without what comes next.
    fn step(&mut self) -> Result<(), Fault> {
        if self.bytes < BATCH_BYTES { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), Fault> {
        if (self.is_stopped)() {
            return Err(Fault::Waiting);
        }
        self.bytes = 0;
        std::mem::replace(&mut self.batch, self.store.batch()).commit()?;
        Ok(())
    }

    fn topic(&mut self, key: &TopicKey, topic: &RecentTopic) -> Result<(), Fault> {
        let store = self.store;
        let (record, before) = (&topic.record, store.topic(key)?);
        if before.is_some_and(|before| before.frame >= record.frame) {
            return Ok(());
        }
        match before {
            Some(before) if before.tid == record.tid => self.remove_pages(&before, record.head.first)?,
            // The topic was purged; its former life is nobody's.
            Some(before) => {
                self.insert(&store.purged, &before.tid.to_be_bytes(), before.head.first.to_be_bytes().to_vec());
            }
            None => {}
        }
        // After a crash the log may also say what was moved before it.
        let moved = before.filter(|before| before.tid == record.tid).map_or(0, |before| before.head.last.offset);
        let first = record.head.first.max(moved + 1);
        let kept = topic.events.iter().skip_while(|event| event.offset < first);
        let mut kept = kept.map(|event| &**event).peekable();
        while let Some(first) = kept.peek().map(|event| event.offset) {
            let page = Page::encode(record.tid, &mut kept);
            self.insert(&store.pages, &key::pair(record.tid, first), page);
        }
        let due = |record: &TopicRecord| Some(key::due(record.due?, record.tid));
        let (was_due, is_due) = (before.as_ref().and_then(due), due(record));
        if was_due != is_due {
            if let Some(due) = was_due {
                self.remove(&store.due, &due);
            }
            if let Some(due) = is_due {
                self.insert(&store.due, &due, key::topic(key));
            }
        }
        self.insert(&store.topics, &key::topic(key), record.encode());
        Ok(())
    }

    /// Removes the pages of which no event is kept any more, now that `first` is the first one.
    fn remove_pages(&mut self, before: &TopicRecord, first: u64) -> Result<(), Fault> {
        let (store, tid) = (self.store, before.tid);
        if first <= before.head.first {
            return Ok(());
        }
        let mut last = None;
        for entry in store.pages.range(key::pair(tid, 0)..key::pair(tid, first)) {
            if let Some(page) = last.replace(entry.key()?) {
                self.remove(&store.pages, &page);
            }
        }
        // The last one of them may hold the first event that is kept, unless that is in none or begins another.
        let holds_first = first <= before.head.last.offset && !store.pages.contains_key(key::pair(tid, first))?;
        if let Some(page) = last.filter(|_| !holds_first) {
            self.remove(&store.pages, &page);
        }
        Ok(())
    }

    /// Removes the logs that were purged.
    fn remove_purged(&mut self) -> Result<(), Fault> {
        let store = self.store;
        for entry in store.purged.iter() {
            let (tid, _) = entry.into_inner()?;
            if let Some(tid) = tid.as_ref().try_into().ok().map(u64::from_be_bytes) {
                for page in store.pages.range(key::pair(tid, 0)..=key::pair(tid, u64::MAX)) {
                    self.remove(&store.pages, &page.key()?);
                    self.step()?;
                }
            }
            self.remove(&store.purged, &tid);
        }
        Ok(())
    }
}
