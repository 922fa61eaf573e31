//! A part of a group commit: the changes that are written by one frame and confirmed together.

mod restoring;

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Event, Position, Tag, Timestamp};
use smallvec::SmallVec;

use super::due::Due;
use super::fault::Fault;
use super::ids::{self, IdEntry, IdHash, Ids};
use super::key::TopicId;
use super::life::Life;
use super::memory::Shared;
use super::store::Base;
use super::topic::TopicRecord;
use super::topics::Topics;
use super::trim::{Oldest, Trimmed, due_at};
use super::wal::{Frame, Wal, put_ceiling, put_topic};
use crate::metrics::{Handles, Operation, store_error};
use crate::{Append, Appended, Keep};

/// How many more events of a topic an append removes than were appended, when a new policy keeps less.
const TRIM_AHEAD: u64 = 1024;
/// A frame's buffer is kept up to this size: more than a group of small events has.
const FRAME_BYTES_KEPT: usize = 4 << 20;

/// What the writer knows and writes with.
pub(super) struct Desk<'a> {
    pub(super) shared: &'a Shared,
    pub(super) base: &'a Base,
    pub(super) topics: &'a mut Topics,
    pub(super) ids: &'a mut Ids,
    pub(super) due: &'a mut Due,
    pub(super) life: &'a mut Life,
    pub(super) wal: &'a mut Wal,
    pub(super) frame: &'a mut Frame,
    pub(super) metrics: &'a Handles,
}

/// A topic that is changed.
struct Touched {
    topic: usize,
    record: TopicRecord,
    /// What its record said before: its number, and when it is due.
    before: (TopicId, Option<Timestamp>),
    new: SmallVec<[(Arc<Event>, Duration); 1]>,
    keep: Option<Arc<Keep>>,
    /// Whether it is written though nothing is new.
    change: bool,
}

/// Changes that are to be written. Dropped without [`Phase::commit`], it is as if they had never been thought of.
pub(super) struct Phase<'a> {
    desk: Desk<'a>,
    now: Timestamp,
    touched: Vec<Touched>,
    ids: Vec<IdHash>,
    events: Vec<Arc<Event>>,
    trimmed: u64,
    fault: Option<Fault>,
}

impl<'a> Phase<'a> {
    pub(super) fn new(desk: Desk<'a>, now: Timestamp) -> Self {
        let (touched, ids, events) = (Vec::new(), Vec::new(), Vec::new());
        Self { desk, now, touched, ids, events, trimmed: 0, fault: None }
    }

    /// Gives an event of the topic with this number its place, or finds the one it has. Nothing is written yet.
    pub(super) fn append(&mut self, topic: usize, item: Append) -> Result<Appended, Fault> {
        let Append { topic: key, draft, keep } = item;
        let touched = self.touch(topic);
        let (record, window) = (self.touched[touched].record, keep.idempotency_window);
        let epoch = record.head.last.epoch;
        let id = IdHash::of(self.desk.life.secret, record.tid, &draft.id);
        // A topic that nothing was ever appended to has no ids.
        let known = if record.head.last.offset == 0 || window.is_zero() {
            None
        } else {
            self.desk.ids.find(self.desk.base, record.tid, id)?
        };
        if let Some(entry) = known.filter(|entry| self.now.since(entry.time) < window) {
            self.desk.metrics.duplicates.increment(1);
            self.touched[touched].keep.get_or_insert(keep);
            let position = Position { epoch, offset: entry.offset, tag: Tag::of(&draft.id) };
            return Ok(Appended { position, time: entry.time, duplicate: true });
        }
        let offset = self.desk.life.next_offset(&record);
        self.cover(offset)?;
        let record = &self.touched[touched].record;
        let time = record.head.time.map_or(self.now, |last| last.max(self.now));
        let prev = record.head.last.offset;
        let event = Arc::new(Event { topic: key, epoch, offset, prev, time, draft });
        let position = self.put(touched, id, event, keep);
        Ok(Appended { position, time, duplicate: false })
    }

    /// Puts an event that has its place at the end of a topic.
    fn put(&mut self, touched: usize, id: IdHash, event: Arc<Event>, keep: Arc<Keep>) -> Position {
        let (position, time, window) = (event.position(), event.time, keep.idempotency_window);
        let Touched { record, new, keep: kept, .. } = &mut self.touched[touched];
        if record.head.events == 0 {
            record.head.first = event.offset;
        }
        record.head.last = position;
        record.head.time = Some(time);
        record.head.events += 1;
        record.head.bytes += event.draft.size() as u64;
        // The run says where the offsets stand, so it counts from the first append of the run on.
        record.durability = if new.is_empty() { keep.durability } else { record.durability.min(keep.durability) };
        record.run = self.desk.life.run;
        record.ever_appended = true;
        if !window.is_zero() {
            let expires = time.plus(window);
            self.desk.ids.recent.insert(id, IdEntry { topic: record.tid, offset: event.offset, time, expires });
            self.ids.push(id);
        }
        *kept = Some(keep);
        new.push((Arc::clone(&event), window));
        self.events.push(event);
        position
    }

    /// Makes sure that `offset` may be handed out.
    fn cover(&mut self, offset: u64) -> Result<(), Fault> {
        let Desk { life, wal, frame, .. } = &mut self.desk;
        if life.covers(offset) {
            return Ok(());
        }
        let before = **life;
        life.raise_over(offset);
        frame.clear(FRAME_BYTES_KEPT);
        put_ceiling(frame.payload(), life.ceiling());
        let raised = wal.write(frame).map_err(|error| Fault::Write(Arc::new(error)));
        let raised = raised.and_then(|()| wal.sync().map_err(|error| Fault::Confirm(Arc::new(error))));
        raised.inspect_err(|fault| {
            **life = before;
            self.fault = Some(fault.clone());
        })
    }

    /// Where the phase has the topic.
    fn touch(&mut self, number: usize) -> usize {
        let topic = self.desk.topics.get_mut(number);
        if let Some(touched) = topic.touched {
            return touched;
        }
        let life = &mut *self.desk.life;
        let record = topic.record.unwrap_or_else(|| TopicRecord::new(life.new_tid(), life.epoch));
        let touched = self.touched.len();
        topic.touched = Some(touched);
        let new = SmallVec::new();
        let before = (record.tid, record.due);
        self.touched.push(Touched { topic: number, record, before, new, keep: None, change: false });
        touched
    }

    /// Changes a topic otherwise than by an append: hands its record and its oldest events to `change`.
    pub(super) fn change<T>(
        &mut self,
        number: usize,
        change: impl FnOnce(&mut TopicRecord, &mut Oldest<'_>, &mut u64) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let touched = self.touch(number);
        let touched = &mut self.touched[touched];
        touched.change = true;
        let topic = self.desk.topics.get_mut(number);
        let mut oldest = Oldest { shared: self.desk.shared, topic: &topic.key, known: &mut topic.oldest };
        change(&mut touched.record, &mut oldest, &mut self.trimmed)
    }

    /// Whether an entry of the list of due topics is still so.
    pub(super) fn is_due(&self, number: usize, at: Timestamp, tid: TopicId) -> bool {
        self.desk.topics.get(number).record.is_some_and(|record| record.tid == tid && record.due == Some(at))
    }

    /// Gives a topic an empty log; what it held is removed when it is moved to the store.
    pub(super) fn purge(&mut self, number: usize) -> TopicRecord {
        let touched = self.touch(number);
        let life = &mut *self.desk.life;
        let mut record = TopicRecord::new(life.new_tid(), fanfare_model::Epoch::generate());
        record.run = life.run;
        let touched = &mut self.touched[touched];
        record.ever_appended = touched.record.ever_appended;
        (touched.record, touched.change) = (record, true);
        self.desk.topics.get_mut(number).oldest.clear();
        record
    }

    /// Writes everything; returns the events when they have reached the operating system, and with `sync` the
    /// disk. Readers see them then.
    pub(super) fn commit(mut self, sync: bool) -> Result<Vec<Arc<Event>>, Fault> {
        self.write(sync)?;
        self.publish();
        Ok(std::mem::take(&mut self.events))
    }

    fn write(&mut self, sync: bool) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Desk { shared, topics, wal, frame, .. } = &mut self.desk;
        frame.clear(FRAME_BYTES_KEPT);
        for touched in &mut self.touched {
            let topic = topics.get_mut(touched.topic);
            if let Some(keep) = touched.keep.take() {
                if !touched.new.is_empty() {
                    let last = topic.record.map_or(0, |record| record.head.last.offset);
                    let mut oldest = Oldest { shared, topic: &topic.key, known: &mut topic.oldest };
                    self.trimmed += make_room(&mut oldest, last, touched, &keep);
                    schedule(&mut touched.record, &keep);
                }
                // One that got duplicates only may have been stored under a weaker promise than is asked for now.
                touched.change |= !touched.new.is_empty() || (sync && touched.record.durability < keep.durability);
            }
            if touched.change {
                touched.record.frame = wal.next_frame();
                let new = touched.new.iter().map(|(event, window)| (&**event, *window));
                put_topic(frame.payload(), &topic.key, &touched.record, new);
            }
        }
        if frame.is_empty() {
            return Ok(());
        }
        wal.write(frame).map_err(|error| Fault::Write(Arc::new(error)))?;
        if sync { wal.sync().map_err(|error| Fault::Confirm(Arc::new(error))) } else { Ok(()) }
    }

    /// Lets everybody see what was written.
    fn publish(&mut self) {
        let mut memory = self.desk.shared.write();
        for touched in &mut self.touched {
            if touched.change {
                let record = touched.record;
                let topic = self.desk.topics.get_mut(touched.topic);
                topic.record = Some(record);
                memory.recent.put(&topic.key, record, touched.new.drain(..).map(|(event, _)| event));
                self.desk.due.moved(&topic.key, touched.before, (record.tid, record.due));
            }
        }
        memory.recent.bytes += std::mem::take(&mut self.ids).len() * ids::BYTES;
        drop(memory);
        self.desk.metrics.appended.increment(self.events.len() as u64);
        self.desk.metrics.trimmed.increment(self.trimmed);
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        for touched in &self.touched {
            self.desk.topics.get_mut(touched.topic).touched = None;
        }
        // Of those that were not written; the others have been taken away.
        for id in &self.ids {
            self.desk.ids.recent.remove(id);
        }
    }
}

/// Trims a topic to what its policy keeps; returns how many events that removes. `last` is the offset of the last event
/// that everybody sees.
fn make_room(oldest: &mut Oldest<'_>, last: u64, touched: &mut Touched, keep: &Keep) -> u64 {
    let Touched { record, new, .. } = touched;
    let too_much = |record: &TopicRecord| {
        keep.events_max.is_some_and(|max| record.head.events > max)
            || keep.bytes_max.is_some_and(|max| record.head.bytes > max)
    };
    let mut removed = 0;
    if !too_much(record) {
        return removed;
    }
    if record.head.first <= last {
        let budget = new.len() as u64 + TRIM_AHEAD;
        match oldest.trim(record, last, budget, &mut removed, |record, _| too_much(record)) {
            Ok(Trimmed::All) => {}
            Ok(Trimmed::UpTo(_) | Trimmed::Unfinished) => return removed,
            Err(error) => {
                // The next append tries again.
                tracing::error!(error = &error as &dyn std::error::Error, "cannot trim a topic");
                store_error(Operation::Read);
                return removed;
            }
        }
    }
    let mut kept = new.iter().map(|(event, _)| event);
    while too_much(record) {
        let Some(event) = kept.next() else { break };
        record.head.events -= 1;
        record.head.bytes -= event.draft.size() as u64;
        removed += 1;
    }
    record.head.first = kept.next().map_or(record.head.last.offset + 1, |event| event.offset);
    removed
}

/// Says when the sweep is to look at the topic. Only when that is not said yet or the age limit has changed: an
/// entry that is early costs one look, and appends none.
fn schedule(record: &mut TopicRecord, keep: &Keep) {
    let changed = record.age_max != keep.age_max;
    record.age_max = keep.age_max;
    record.due = match (keep.age_max, record.due, record.head.time) {
        (Some(_), Some(due), _) if !changed => Some(due),
        // Older events may be kept than the one that was just appended: look at once.
        (Some(_), _, Some(time)) if changed && record.head.events > 1 => Some(time),
        (Some(age_max), _, Some(time)) if record.head.events > 0 => Some(due_at(time, age_max)),
        _ => None,
    };
}
