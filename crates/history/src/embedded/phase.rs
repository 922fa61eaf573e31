//! A part of a group commit: the appends that are written by one batch and confirmed together.

use std::sync::Arc;

use fanfare_model::{Event, Position, Tag, Timestamp, TopicKey};
use fjall::OwnedWriteBatch;
use hashbrown::HashMap;

use super::dedup::DedupEntry;
use super::event;
use super::fault::Fault;
use super::key;
use super::life::Life;
use super::store::Store;
use super::topic::TopicRecord;
use super::topics::Topics;
use super::trim::{Trimmed, due_at, trim};
use crate::metrics::{Handles, Operation, store_error};
use crate::{Append, Appended, Head, Keep};

/// How many more events of a topic an append removes than were appended, when a new policy keeps less.
const TRIM_AHEAD: usize = 1024;

/// A topic that is appended to.
struct Touched {
    before: Head,
    record: TopicRecord,
    keep: Arc<Keep>,
    new: Vec<(Arc<Event>, Timestamp)>,
}

/// Appends that were given their places and are to be written.
pub(super) struct Phase<'a> {
    store: &'a Store,
    topics: &'a mut Topics,
    life: &'a mut Life,
    metrics: &'a Handles,
    now: Timestamp,
    touched: HashMap<TopicKey, Touched>,
    ids: HashMap<Vec<u8>, DedupEntry>,
    events: Vec<Arc<Event>>,
    life_changed: bool,
    fault: Option<Fault>,
}

/// A phase that could not be written. What it was about to store may be there or not.
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// The topics that are in doubt, and where each ended before.
    pub(super) before: Vec<(TopicKey, Head)>,
}

impl<'a> Phase<'a> {
    pub(super) fn new(
        store: &'a Store,
        topics: &'a mut Topics,
        life: &'a mut Life,
        metrics: &'a Handles,
        now: Timestamp,
    ) -> Self {
        Self {
            store,
            topics,
            life,
            metrics,
            now,
            touched: HashMap::new(),
            ids: HashMap::new(),
            events: Vec::new(),
            life_changed: false,
            fault: None,
        }
    }

    /// Gives an event its place, or finds the one it has. Nothing is written yet.
    pub(super) fn append(&mut self, item: Append) -> Result<Appended, Fault> {
        let Append { topic, draft, keep } = item;
        if !self.touched.contains_key(&topic) {
            let touched = self.touch(&topic, &keep)?;
            self.touched.insert(topic.clone(), touched);
        }
        let touched = self.touched.get_mut(&topic).expect("it was there or has just been inserted");
        let id_key = key::dedup(touched.record.tid, &draft.id);
        let window = keep.idempotency_window;
        let known = match self.ids.get(&id_key) {
            Some(entry) => Some(*entry),
            None if window.is_zero() || touched.before.last.offset == 0 => None,
            None => self.store.dedup_entry(&id_key)?,
        };
        let epoch = touched.record.head.last.epoch;
        if let Some(entry) = known.filter(|entry| self.now.since(entry.time) < window) {
            self.metrics.duplicates.increment(1);
            let position = Position { epoch, offset: entry.offset, tag: Tag::of(&draft.id) };
            return Ok(Appended { position, time: entry.time, duplicate: true });
        }
        let offset = self.life.next_offset(&touched.record);
        if !self.life.covers(offset) {
            self.life.raise_over(offset);
            if let Err(fault) = store_life(self.store, self.life) {
                self.fault = Some(fault.clone());
                return Err(fault);
            }
        }
        let record = &mut touched.record;
        let time = record.head.time.map_or(self.now, |last| last.max(self.now));
        let prev = record.head.last.offset;
        let event = Arc::new(Event { topic, epoch, offset, prev, time, draft });
        if record.head.events == 0 {
            record.head.first = offset;
        }
        record.head.last = event.position();
        record.head.time = Some(time);
        record.head.events += 1;
        record.head.bytes += event.draft.size() as u64;
        // The run says where the offsets stand, so it counts from the first append of the run on.
        record.durability =
            if touched.new.is_empty() { keep.durability } else { record.durability.min(keep.durability) };
        record.run = self.life.run;
        record.ever_appended = true;
        let expires = time.plus(window);
        self.ids.insert(id_key, DedupEntry { offset, time, expires });
        touched.keep = keep;
        touched.new.push((Arc::clone(&event), expires));
        let appended = Appended { position: event.position(), time, duplicate: false };
        self.events.push(event);
        Ok(appended)
    }

    fn touch(&mut self, topic: &TopicKey, keep: &Arc<Keep>) -> Result<Touched, Fault> {
        let record = self.topics.get(self.store, topic)?;
        let record = record.unwrap_or_else(|| {
            self.life_changed = true;
            TopicRecord::new(self.life.new_tid(), self.life.epoch)
        });
        Ok(Touched { before: record.head, record, keep: Arc::clone(keep), new: Vec::new() })
    }

    /// Writes everything; returns the events when they have reached the operating system, and with `sync` the
    /// disk.
    pub(super) fn commit(mut self, sync: bool) -> Result<Vec<Arc<Event>>, Failed> {
        match self.write(sync) {
            Ok(()) => {
                self.metrics.appended.increment(self.events.len() as u64);
                for (topic, touched) in self.touched {
                    self.topics.put(topic, touched.record);
                }
                Ok(self.events)
            }
            Err(fault) => {
                let before = self.touched.into_iter().map(|(topic, touched)| (topic, touched.before)).collect();
                Err(Failed { fault, before })
            }
        }
    }

    fn write(&mut self, sync: bool) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let mut batch = self.store.batch(self.events.len() * 2 + self.touched.len() + 1);
        for (topic, touched) in &mut self.touched {
            // One that got duplicates only may have been stored under a weaker promise than is asked for now.
            let stronger = sync && touched.record.durability < touched.keep.durability;
            if !touched.new.is_empty() || stronger {
                put(self.store, &mut batch, topic, touched, self.metrics);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        if self.life_changed {
            self.store.put_life(&mut batch, self.life);
        }
        batch.commit()?;
        if sync { self.store.sync() } else { Ok(()) }
    }
}

/// Stores the record of the store's life now, surely.
fn store_life(store: &Store, life: &Life) -> Result<(), Fault> {
    let mut batch = store.batch(1);
    store.put_life(&mut batch, life);
    batch.commit()?;
    store.sync()
}

/// Adds what is new of a topic to the batch, and removes what is not kept any more.
fn put(store: &Store, batch: &mut OwnedWriteBatch, topic: &TopicKey, touched: &mut Touched, metrics: &Handles) {
    let (removed, skipped) = make_room(store, touched);
    metrics.trimmed.increment((removed.len() + skipped) as u64);
    for key in removed {
        batch.remove(&store.log, key);
    }
    let Touched { record, keep, new, .. } = touched;
    for (event, expires) in &*new {
        if *expires > event.time {
            let entry = DedupEntry { offset: event.offset, time: event.time, expires: *expires };
            batch.insert(&store.dedup, key::dedup(record.tid, &event.draft.id), entry.encode());
        }
    }
    for (event, _) in &new[skipped..] {
        batch.insert(&store.log, key::log(record.tid, event.offset), event::encode(event));
    }
    schedule(store, batch, topic, record, keep);
    store.put_topic(batch, topic, record);
}

/// Trims a topic to what its policy keeps. Returns the keys of stored events to remove, and how many of the new
/// ones are not to be stored at all.
fn make_room(store: &Store, touched: &mut Touched) -> (Vec<[u8; 16]>, usize) {
    let Touched { before, record, keep, new } = touched;
    let too_much = |record: &TopicRecord| {
        keep.events_max.is_some_and(|max| record.head.events > max)
            || keep.bytes_max.is_some_and(|max| record.head.bytes > max)
    };
    let mut removed = Vec::new();
    if !too_much(record) {
        return (removed, 0);
    }
    if before.events > 0 {
        let budget = new.len() + TRIM_AHEAD;
        match trim(store, record, before.last.offset, budget, &mut removed, |record, _, _| too_much(record)) {
            Ok(Trimmed::All) => {}
            Ok(Trimmed::UpTo(_) | Trimmed::Unfinished) => return (removed, 0),
            Err(error) => {
                // The next append tries again.
                tracing::error!(%error, "cannot trim a topic");
                store_error(Operation::Read);
                return (removed, 0);
            }
        }
    }
    let mut skipped = 0;
    while let Some((event, _)) = new.get(skipped).filter(|_| too_much(record)) {
        record.head.events -= 1;
        record.head.bytes -= event.draft.size() as u64;
        skipped += 1;
    }
    record.head.first = new.get(skipped).map_or(record.head.last.offset + 1, |(event, _)| event.offset);
    (removed, skipped)
}

/// Says when the sweep is to look at the topic. Only when that is not said yet or the age limit has changed: an
/// entry that is early costs one look, and appends none.
fn schedule(store: &Store, batch: &mut OwnedWriteBatch, topic: &TopicKey, record: &mut TopicRecord, keep: &Keep) {
    let changed = record.age_max != keep.age_max;
    record.age_max = keep.age_max;
    let due = match (keep.age_max, record.due, record.head.time) {
        (Some(_), Some(due), _) if !changed => Some(due),
        // Older events may be kept than the one that was just appended: look at once.
        (Some(_), _, Some(time)) if changed && record.head.events > 1 => Some(time),
        (Some(age_max), _, Some(time)) if record.head.events > 0 => Some(due_at(time, age_max)),
        _ => None,
    };
    if due != record.due {
        if let Some(old) = record.due {
            batch.remove(&store.due, key::due(old, record.tid));
        }
        if let Some(new) = due {
            batch.insert(&store.due, key::due(new, record.tid), key::topic(topic));
        }
        record.due = due;
    }
}
