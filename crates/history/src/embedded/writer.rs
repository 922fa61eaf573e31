//! The one thread that writes: group commit.
//!
//! It takes everything that waits, gives the events their places, writes them with one frame of the write-ahead log
//! and answers. While it writes and waits for the disk the next group gathers, so that the size of a group follows
//! the load: one event when there is one, thousands when the disk is what limits.
//!
//! A group is written in two *phases*. First the topics whose promise does not include the disk: they are
//! answered as soon as the operating system has them. Then the `committed` ones, with one `fdatasync` for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_model::{Clock, TopicKey};

use super::due::{Due, DueAt};
use super::fault::Fault;
use super::home::Home;
use super::ids::Ids;
use super::life::Life;
use super::memory::Shared;
use super::mend::Trouble;
use super::mover::Mover;
use super::moving::Order;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::phase::{Desk, Phase};
use super::queue::{Batch, Job, Queue};
use super::store::Base;
use super::topics::Topics;
use super::trim::{Trimmed, due_at};
use super::wal::{Frame, Wal};
use crate::metrics::{Handles, Operation, store_error};
use crate::{Announce, Durability, Error, Head, Reset, Stretch};

/// How many events one turn of the writer removes at most, so that appends do not wait long for it: some
/// milliseconds of work.
const TRIM_PER_TURN: u64 = 8192;
/// How many topics one turn of the sweep looks at, for the same reason.
const TOPICS_PER_TURN: usize = 2048;

/// The state of the writing thread.
pub(super) struct Writer {
    pub(super) home: Arc<Home>,
    pub(super) options: Options,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) announce: Arc<dyn Announce>,
    pub(super) queue: Arc<Queue>,
    pub(super) shared: Arc<Shared>,
    pub(super) mover: Arc<Mover>,
    pub(super) metrics: Arc<Handles>,
    pub(super) life: Life,
    pub(super) topics: Topics,
    pub(super) ids: Ids,
    pub(super) due: Due,
    pub(super) wal: Wal,
    pub(super) frame: Frame,
    /// When the recent events began.
    pub(super) since: Instant,
    pub(super) trouble: Option<Trouble>,
}

/// However the writer ends, nobody waits for it.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

impl Writer {
    /// Works until the queue is stopped.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.queue.take(self.options.group_events_max, self.options.group_bytes_max.as_usize()) {
            let mut batches = Vec::new();
            for job in jobs {
                if let Job::Append(batch) = job {
                    batches.push(batch);
                } else {
                    self.append(std::mem::take(&mut batches));
                    self.administer(job);
                }
            }
            self.append(batches);
            self.relieve();
        }
    }

    /// The store as it was after the last move, if there can be written now.
    fn writable(&mut self) -> Result<Arc<Base>, Fault> {
        self.mend(self.options.retry_every.get())?;
        let memory = self.shared.read();
        let is_full = memory.recent.bytes >= self.options.memory_bytes_max.as_usize();
        match self.mover.trouble().filter(|_| is_full) {
            // Nothing is taken that could not be kept.
            Some(fault) => Err(fault),
            None => memory.base(),
        }
    }

    /// Notes that something may have been written or not. Until it is known nothing more is written, and what
    /// is in memory of topics counts for nothing.
    fn fail(&mut self, fault: Fault) {
        tracing::error!(error = &fault as &dyn std::error::Error, "cannot store events");
        store_error(Operation::Write);
        self.topics.clear();
        self.trouble = Some(Trouble::new(fault));
    }

    fn phase<'a>(&'a mut self, base: &'a Base) -> Phase<'a> {
        let now = self.clock.now();
        let desk = Desk {
            shared: &self.shared,
            base,
            topics: &mut self.topics,
            ids: &mut self.ids,
            due: &mut self.due,
            life: &mut self.life,
            wal: &mut self.wal,
            frame: &mut self.frame,
            metrics: &self.metrics,
        };
        Phase::new(desk, now)
    }

    fn append(&mut self, batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        let base = match self.writable() {
            Ok(base) => base,
            Err(fault) => {
                for batch in batches {
                    OpenBatch::new(batch).refuse(&fault);
                }
                return;
            }
        };
        let mut batches: Vec<OpenBatch> = batches.into_iter().map(OpenBatch::new).collect();
        let count: usize = batches.iter().map(OpenBatch::len).sum();
        self.metrics.group_events.record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        let on_disk = self.find_topics(&mut batches);
        for sync in [false, true] {
            let done = self.append_phase(&base, &mut batches, &on_disk, sync);
            // Those that are complete; a batch of both kinds waits for the second.
            batches = batches.into_iter().filter_map(|batch| batch.answer_if_done(&self.metrics)).collect();
            if let Err(fault) = done {
                for batch in batches {
                    batch.refuse(&fault);
                }
                return;
            }
        }
    }

    /// Finds the topics of the group, and says which of them are to be confirmed by the disk, by their numbers. The
    /// strongest promise of a topic counts for all its items, so that they keep their order. A topic whose promise has
    /// become weaker is confirmed once more, so that after a crash it is known how little its latest events were
    /// promised.
    fn find_topics(&mut self, batches: &mut [OpenBatch]) -> Vec<bool> {
        self.topics.make_room();
        let mut on_disk = Vec::new();
        for batch in batches {
            let (topics, shared) = (&mut self.topics, &self.shared);
            batch.find_topics(|topic: &TopicKey, durability| {
                let number = topics.find(shared, topic)?;
                if on_disk.len() <= number {
                    on_disk.resize(number + 1, None);
                }
                let strongest = on_disk[number].get_or_insert(durability);
                *strongest = durability.max(*strongest);
                Ok(number)
            });
        }
        let confirm = |(number, strongest): (usize, Option<Durability>)| {
            strongest.is_some_and(|strongest| {
                let was = self.topics.get(number).record.map(|record| record.durability);
                strongest == Durability::Committed || was.is_some_and(|was| was > strongest)
            })
        };
        on_disk.into_iter().enumerate().map(confirm).collect()
    }

    fn append_phase(
        &mut self,
        base: &Base,
        batches: &mut [OpenBatch],
        on_disk: &[bool],
        sync: bool,
    ) -> Result<(), Fault> {
        let size_max = self.options.event_bytes_max.as_usize();
        let mut phase = self.phase(base);
        let mut placed = Vec::new();
        for (b, batch) in batches.iter_mut().enumerate() {
            while let Some((i, topic, item)) = batch.next(|topic| on_disk.get(topic) == Some(&sync)) {
                let size = item.draft.size();
                let appended = if size > size_max {
                    Err(Error::TooLarge { size, size_max })
                } else {
                    phase.append(topic, item).map_err(Error::from)
                };
                match appended {
                    Ok(appended) => placed.push((b, i, appended)),
                    Err(error) => batch.answer(i, Err(error)),
                }
            }
        }
        match phase.commit(sync) {
            Ok(events) => {
                if !events.is_empty() {
                    self.announce.stored(&events);
                }
                for (b, i, appended) in placed {
                    batches[b].answer(i, Ok(appended));
                }
                Ok(())
            }
            Err(fault) => {
                self.fail(fault.clone());
                Err(fault)
            }
        }
    }

    fn administer(&mut self, job: Job) {
        // Whoever does not wait for the answer any more does not miss it.
        match job {
            Job::Append(batch) => self.append(vec![batch]),
            Job::Purge(topic, answer) => drop(answer.send(self.purge(&topic).map_err(Error::from))),
            Job::Restore(stretch, answer) => drop(answer.send(self.restore(stretch))),
            Job::Truncate(topic, before, answer) => {
                drop(answer.send(self.truncate(&topic, before).map_err(Error::from)));
            }
            Job::Sweep(after, answer) => drop(answer.send(self.sweep(after).map_err(Error::from))),
            Job::Close(answer) => drop(answer.send(self.close().map_err(Error::from))),
        }
    }

    fn purge(&mut self, topic: &TopicKey) -> Result<Head, Fault> {
        let base = self.writable()?;
        let number = self.topics.find(&self.shared, topic)?;
        let mut phase = self.phase(&base);
        let head = phase.purge(number).head;
        phase.commit(true).inspect_err(|fault| self.fail(fault.clone()))?;
        self.announce.reset(&Reset { topic: topic.clone(), head });
        Ok(head)
    }

    /// Takes over what another engine had. That is old, and not announced.
    fn restore(&mut self, stretch: Stretch) -> Result<(), Error> {
        let size_max = self.options.event_bytes_max.as_usize();
        if let Some(size) = stretch.events.iter().map(|event| event.draft.size()).find(|size| *size > size_max) {
            return Err(Error::TooLarge { size, size_max });
        }
        let base = self.writable()?;
        self.topics.make_room();
        let number = self.topics.find(&self.shared, &stretch.topic)?;
        let mut phase = self.phase(&base);
        if !phase.restore(number, stretch)? {
            return Err(Error::Occupied);
        }
        phase.commit(true).inspect_err(|fault| self.fail(fault.clone()))?;
        Ok(())
    }

    fn truncate(&mut self, topic: &TopicKey, before: u64) -> Result<(Head, bool), Fault> {
        let base = self.writable()?;
        let number = self.topics.find(&self.shared, topic)?;
        if self.topics.get(number).record.is_none() {
            return Ok((Head::empty(self.life.epoch), false));
        }
        let mut phase = self.phase(&base);
        let (head, more) = phase.change(number, |record, oldest, removed| {
            let last = record.head.last.offset;
            let trimmed = oldest.trim(record, last, TRIM_PER_TURN, removed, |_, event| event.offset < before)?;
            Ok((record.head, trimmed == Trimmed::Unfinished))
        })?;
        phase.commit(!more).inspect_err(|fault| self.fail(fault.clone()))?;
        Ok((head, more))
    }

    /// A turn of the sweep, from a place in the list of due topics on: how many events it has removed, and where the
    /// next turn is to go on.
    fn sweep(&mut self, mut after: Option<DueAt>) -> Result<(u64, Option<DueAt>), Fault> {
        let base = self.writable()?;
        let now = self.clock.now();
        self.topics.make_room();
        let candidates = self.due.until(&base, now, after, TOPICS_PER_TURN)?;
        let mut more = candidates.len() == TOPICS_PER_TURN;
        let mut numbers = Vec::new();
        for (due, topic) in candidates {
            numbers.push((due, self.topics.find(&self.shared, &topic)?));
        }
        let mut phase = self.phase(&base);
        let mut total = 0;
        for ((due, tid), number) in numbers {
            if !phase.is_due(number, due, tid) {
                after = Some((due, tid));
                continue;
            }
            let (count, trimmed) = phase.change(number, |record, oldest, removed| {
                let before = *removed;
                record.due = None;
                let Some(age_max) = record.age_max else { return Ok((0, Trimmed::All)) };
                let (last, limit) = (record.head.last.offset, now.minus(age_max));
                let budget = TRIM_PER_TURN - total;
                let trimmed = oldest.trim(record, last, budget, removed, |_, event| event.time < limit)?;
                record.due = match trimmed {
                    Trimmed::UpTo(first) => Some(due_at(first, age_max)),
                    Trimmed::All => None,
                    Trimmed::Unfinished => Some(due),
                };
                Ok((*removed - before, trimmed))
            })?;
            total += count;
            if trimmed == Trimmed::Unfinished {
                more = true;
                break;
            }
            after = Some((due, tid));
        }
        phase.commit(false).inspect_err(|fault| self.fail(fault.clone()))?;
        // The beginning of the list is always before its first entry.
        let begin = (fanfare_model::Timestamp::from_micros(i64::MIN), 0);
        Ok((total, more.then(|| after.unwrap_or(begin))))
    }

    fn close(&mut self) -> Result<(), Fault> {
        // There may be no later time.
        self.mend(Duration::ZERO)?;
        self.end_move(true)?;
        self.life.closed = true;
        self.begin_move(false)?;
        self.end_move(true)
    }

    /// Has the recent events moved to the store when they are many, or old.
    fn relieve(&mut self) {
        if self.mover.is_idle() {
            self.moved();
        }
        let (bytes, is_empty) = {
            let memory = self.shared.read();
            (memory.recent.bytes, memory.recent.topics.is_empty())
        };
        let (bytes_max, wal_max) = (self.options.memory_bytes_max.as_usize(), self.options.wal_file_bytes_max());
        let is_old = !is_empty && self.since.elapsed() >= self.options.move_every.get();
        if !is_old && bytes < bytes_max / 2 && self.wal.bytes() < wal_max {
            return;
        }
        if !self.mover.is_idle() {
            // While the mover is at work this much more may come.
            let there_is_room = bytes < bytes_max && self.wal.bytes() < 2 * wal_max;
            if there_is_room || self.end_move(false).is_err() {
                return;
            }
        }
        if self.trouble.is_none()
            && let Err(fault) = self.begin_move(false)
        {
            self.fail(fault);
        }
    }

    /// Begins a new file of the write-ahead log and has what is recent moved. The mover is idle. If the log is `in_doubt`
    /// its present file is not relied on.
    pub(super) fn begin_move(&mut self, in_doubt: bool) -> Result<(), Fault> {
        let number = self.wal.number() + 1;
        let failed = |error| Fault::Write(Arc::new(error));
        let mut next = match self.mover.ready(number) {
            Some(ready) => ready,
            None => Wal::begin(&self.home.wal(), number, 0, None).map_err(failed)?,
        };
        if in_doubt {
            next.replace(&self.wal);
        } else if let Err(error) = next.follow(&mut self.wal) {
            self.mover.keep_ready(next);
            return Err(failed(error));
        }
        self.wal = next;
        self.since = Instant::now();
        self.life.wal_from = number;
        self.life.next_frame = self.wal.next_frame();
        self.due.begin_move();
        let ids = self.ids.begin_move();
        let recent = self.shared.write().begin_move();
        self.mover.order(Order { recent, ids, life: self.life });
        Ok(())
    }

    /// Waits until the mover is idle or has failed; with `retry` what has failed before is tried again.
    pub(super) fn end_move(&mut self, retry: bool) -> Result<(), Fault> {
        self.mover.wait(retry)?;
        self.moved();
        Ok(())
    }

    /// The mover is idle: the store has what was moving.
    fn moved(&mut self) {
        self.ids.moving = None;
        self.due.end_move();
        self.wal.forget_previous();
    }
}
