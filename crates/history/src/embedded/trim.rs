//! Retention: removing the oldest events of a topic, a bounded number at a time.

use fanfare_model::{Timestamp, TopicKey};
use fjall::OwnedWriteBatch;

use super::event::Summary;
use super::fault::Fault;
use super::key;
use super::life::Life;
use super::store::Store;
use super::topic::TopicRecord;
use super::topics::Topics;

/// How many events one turn of the writer removes at most, so that appends do not wait long for it: some ten
/// milliseconds of work.
const EVENTS_PER_TURN: usize = 8192;
/// How many topics one turn of the sweep looks at, for the same reason.
const TOPICS_PER_TURN: usize = 2048;

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

/// Removes the oldest stored events of a topic while `surplus(record, offset, event)`, at most `budget`.
/// `last` is the offset of the last event that is stored. The record says afterwards what is left.
pub(super) fn trim(
    store: &Store,
    record: &mut TopicRecord,
    last: u64,
    budget: usize,
    removed: &mut Vec<[u8; 16]>,
    surplus: impl Fn(&TopicRecord, u64, Summary) -> bool,
) -> Result<Trimmed, Fault> {
    let before = removed.len();
    let first = record.head.first;
    if first <= last {
        for entry in store.log.range(key::log(record.tid, first)..=key::log(record.tid, last)) {
            let (stored_at, event) = entry.into_inner()?;
            let Some(offset) = key::log_offset(&stored_at) else { continue };
            record.head.first = offset;
            // One that is damaged counts for nothing and goes with the first of its neighbours.
            let event = Summary::of(&event).unwrap_or(Summary { size: 0, time: Timestamp::from_micros(i64::MIN) });
            if !surplus(record, offset, event) {
                return Ok(Trimmed::UpTo(event.time));
            }
            if removed.len() - before >= budget {
                return Ok(Trimmed::Unfinished);
            }
            record.head.events = record.head.events.saturating_sub(1);
            record.head.bytes = record.head.bytes.saturating_sub(event.size);
            removed.push(key::log(record.tid, offset));
        }
    }
    record.head.first = last + 1;
    Ok(Trimmed::All)
}

/// A change of the log that is ready to be written.
pub(super) struct Change {
    pub(super) batch: OwnedWriteBatch,
    /// The records as they are afterwards.
    pub(super) records: Vec<(TopicKey, TopicRecord)>,
    /// How many events retention removes.
    pub(super) removed: u64,
    /// Whether there is more to do.
    pub(super) more: bool,
}

impl Change {
    fn new(store: &Store) -> Self {
        Self { batch: store.batch(0), records: Vec::new(), removed: 0, more: false }
    }

    fn remove(&mut self, store: &Store, keys: Vec<[u8; 16]>) {
        for key in keys {
            self.batch.remove(&store.log, key);
        }
    }

    fn put(&mut self, store: &Store, topic: TopicKey, record: TopicRecord) {
        store.put_topic(&mut self.batch, &topic, &record);
        self.records.push((topic, record));
    }
}

/// A turn of removing what is before `offset`. `None` if the topic is not known.
pub(super) fn truncate(
    store: &Store,
    topics: &mut Topics,
    topic: &TopicKey,
    before: u64,
) -> Result<Option<Change>, Fault> {
    let Some(mut record) = topics.get(store, topic)? else { return Ok(None) };
    let mut change = Change::new(store);
    let mut removed = Vec::new();
    let last = record.head.last.offset;
    let trimmed = trim(store, &mut record, last, EVENTS_PER_TURN, &mut removed, |_, offset, _| offset < before)?;
    change.more = trimmed == Trimmed::Unfinished;
    change.removed = removed.len() as u64;
    change.remove(store, removed);
    change.put(store, topic.clone(), record);
    Ok(Some(change))
}

/// Replaces a topic's log by an empty one; what it held is left to the sweep.
pub(super) fn purge(
    store: &Store,
    topics: &mut Topics,
    life: &mut Life,
    topic: &TopicKey,
) -> Result<(Change, TopicRecord), Fault> {
    let old = topics.get(store, topic)?;
    let mut change = Change::new(store);
    let mut record = TopicRecord::new(life.new_tid(), fanfare_model::Epoch::generate());
    record.run = life.run;
    if let Some(old) = old {
        record.ever_appended = old.ever_appended;
        change.batch.insert(&store.purged, old.tid.to_be_bytes(), old.head.first.to_be_bytes());
        if let Some(due) = old.due {
            change.batch.remove(&store.due, key::due(due, old.tid));
        }
    }
    store.put_life(&mut change.batch, life);
    change.put(store, topic.clone(), record);
    Ok((change, record))
}

/// A turn of the sweep.
pub(super) fn sweep(store: &Store, topics: &mut Topics, now: Timestamp) -> Result<Change, Fault> {
    let mut change = Change::new(store);
    let mut budget = EVENTS_PER_TURN;
    for (visited, entry) in store.due.range(..=key::due(now, u64::MAX)).enumerate() {
        if budget == 0 || visited == TOPICS_PER_TURN {
            change.more = true;
            return Ok(change);
        }
        let (due_key, topic) = entry.into_inner()?;
        budget -= sweep_topic(store, topics, now, budget, (&due_key, &topic), &mut change)?;
    }
    sweep_purged(store, budget, &mut change)?;
    Ok(change)
}

/// Trims one topic by age and says when to look at it again; returns how many events that removes.
fn sweep_topic(
    store: &Store,
    topics: &mut Topics,
    now: Timestamp,
    budget: usize,
    (due_key, topic): (&[u8], &[u8]),
    change: &mut Change,
) -> Result<usize, Fault> {
    let (Some((due, tid)), Some(topic)) = (key::read_due(due_key), key::read_topic(topic)) else {
        change.batch.remove(&store.due, due_key);
        return Ok(0);
    };
    // An entry that the record does not know was left behind by a topic that has moved on.
    let Some(mut record) = topics.get(store, &topic)?.filter(|r| r.tid == tid && r.due == Some(due)) else {
        change.batch.remove(&store.due, due_key);
        return Ok(0);
    };
    let mut removed = Vec::new();
    record.due = None;
    if let Some(age_max) = record.age_max {
        let oldest = now.minus(age_max);
        let last = record.head.last.offset;
        record.due = match trim(store, &mut record, last, budget, &mut removed, |_, _, event| event.time < oldest)? {
            Trimmed::UpTo(first) => Some(due_at(first, age_max)),
            Trimmed::All => None,
            Trimmed::Unfinished => Some(due),
        };
    }
    if record.due != Some(due) {
        change.batch.remove(&store.due, due_key);
        if let Some(due) = record.due {
            change.batch.insert(&store.due, key::due(due, tid), key::topic(&topic));
        }
    }
    let count = removed.len();
    change.removed += count as u64;
    change.remove(store, removed);
    change.put(store, topic, record);
    Ok(count)
}

/// From when on an event of this time is too old.
pub(super) fn due_at(first: Timestamp, age_max: std::time::Duration) -> Timestamp {
    first.plus(age_max).plus(std::time::Duration::from_micros(1))
}

/// Removes some of the logs that were purged. They are nobody's any more, so they do not count.
fn sweep_purged(store: &Store, mut budget: usize, change: &mut Change) -> Result<(), Fault> {
    for entry in store.purged.iter() {
        let (tid_key, first) = entry.into_inner()?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        let (Some(tid), Some(first)) = (number(&tid_key), number(&first)) else {
            change.batch.remove(&store.purged, tid_key);
            continue;
        };
        for event in store.log.range(key::log(tid, first)..=key::log(tid, u64::MAX)) {
            let key = event.key()?;
            if budget == 0 {
                // Begin here the next time, not among what was removed.
                let next = key::log_offset(&key).unwrap_or(first);
                change.batch.insert(&store.purged, tid_key, next.to_be_bytes());
                change.more = true;
                return Ok(());
            }
            budget -= 1;
            change.batch.remove(&store.log, key);
        }
        change.batch.remove(&store.purged, tid_key);
    }
    Ok(())
}
