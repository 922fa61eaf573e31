//! The one thread that writes: group commit.
//!
//! It takes everything that waits, gives the events their places, writes them with one batch and answers.
//! While it writes and waits for the disk the next group gathers, so that the size of a group follows the
//! load: one event when there is one, thousands when the disk is what limits.
//!
//! A group is written in two *phases*. First the topics whose promise does not include the disk: they are
//! answered as soon as the operating system has them. Then the `committed` ones, with one `fdatasync` for all.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Clock, TopicKey};
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::fault::Fault;
use super::home::Home;
use super::life::Life;
use super::mend::Trouble;
use super::options::Options;
use super::phase::{Failed, Phase};
use super::queue::{Answers, Batch, Job, Queue};
use super::store::{Store, View};
use super::topics::Topics;
use super::trim::{self, Change};
use crate::metrics::{Handles, Operation, store_error};
use crate::{Announce, Append, Appended, Durability, Error, Head, Reset};

/// What readers see. Empty while the store is being opened again.
pub(super) type Slot = RwLock<Option<Arc<View>>>;

/// The state of the writing thread.
pub(super) struct Writer {
    pub(super) home: Arc<Home>,
    pub(super) options: Options,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) announce: Arc<dyn Announce>,
    pub(super) queue: Arc<Queue>,
    pub(super) slot: Arc<Slot>,
    pub(super) metrics: Arc<Handles>,
    /// `None` after an attempt to open it again that failed.
    pub(super) store: Option<Arc<Store>>,
    pub(super) life: Life,
    pub(super) topics: Topics,
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
        }
    }

    /// The store, if it can be written to now.
    fn writable(&mut self) -> Result<Arc<Store>, Fault> {
        self.mend(self.options.retry_every.get())?;
        self.store.clone().ok_or(Fault::Waiting)
    }

    /// Lets readers see everything that has been written.
    pub(super) fn publish(&self, store: &Arc<Store>) {
        *self.slot.write() = Some(Arc::new(View::now(store, &self.life)));
    }

    /// Notes that something may have been written or not. Until it is known nothing more is written, and what
    /// is in memory counts for nothing.
    fn fail(&mut self, failed: Failed) {
        tracing::error!(error = &failed.fault as &dyn std::error::Error, "cannot store events");
        store_error(Operation::Write);
        self.topics.clear();
        self.trouble = Some(Trouble::new(failed));
    }

    fn append(&mut self, batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        let store = match self.writable() {
            Ok(store) => store,
            Err(fault) => {
                for batch in batches {
                    Open::new(batch).refuse(&fault);
                }
                return;
            }
        };
        let on_disk = self.on_disk(&store, &batches);
        let mut batches: Vec<Open> = batches.into_iter().map(Open::new).collect();
        let count: usize = batches.iter().map(|batch| batch.items.len()).sum();
        self.metrics.group_events.record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        for sync in [false, true] {
            let done = self.append_phase(&store, &mut batches, &on_disk, sync);
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

    /// Which topics of the group are to be confirmed by the disk. The strongest promise of a topic counts for
    /// all its items, so that they keep their order. A topic whose promise has become weaker is confirmed once
    /// more, so that after a crash it is known how little its latest events were promised.
    fn on_disk(&mut self, store: &Store, batches: &[Batch]) -> HashMap<TopicKey, bool> {
        let mut strongest: HashMap<&TopicKey, Durability> = HashMap::new();
        for item in batches.iter().flat_map(|batch| &batch.items) {
            let durability = strongest.entry(&item.topic).or_insert(item.keep.durability);
            *durability = (*durability).max(item.keep.durability);
        }
        let mut confirm = |(topic, durability): (&TopicKey, Durability)| {
            let mut weaker = || match self.topics.get(store, topic) {
                Ok(record) => record.is_some_and(|record| record.durability > durability),
                // The append will meet the same fault and answer with it.
                Err(_) => true,
            };
            (topic.clone(), durability == Durability::Committed || weaker())
        };
        strongest.into_iter().map(&mut confirm).collect()
    }

    fn append_phase(
        &mut self,
        store: &Arc<Store>,
        batches: &mut [Open],
        on_disk: &HashMap<TopicKey, bool>,
        sync: bool,
    ) -> Result<(), Fault> {
        let size_max = self.options.event_bytes_max.as_usize();
        let now = self.clock.now();
        let mut phase = Phase::new(store, &mut self.topics, &mut self.life, &self.metrics, now);
        let mut placed = Vec::new();
        for (b, batch) in batches.iter_mut().enumerate() {
            for (i, slot) in batch.items.iter_mut().enumerate() {
                let Some(item) = slot.take_if(|item| on_disk.get(&item.topic) == Some(&sync)) else { continue };
                let size = item.draft.size();
                if size > size_max {
                    batch.answers[i] = Some(Err(Error::TooLarge { size, size_max }));
                    continue;
                }
                match phase.append(item) {
                    Ok(appended) => placed.push((b, i, appended)),
                    Err(fault) => batch.answers[i] = Some(Err(fault.into())),
                }
            }
        }
        match phase.commit(sync) {
            Ok(events) => {
                if !events.is_empty() {
                    self.publish(store);
                    self.announce.stored(&events);
                }
                for (b, i, appended) in placed {
                    batches[b].answers[i] = Some(Ok(appended));
                }
                Ok(())
            }
            Err(failed) => {
                let fault = failed.fault.clone();
                self.fail(failed);
                Err(fault)
            }
        }
    }

    fn administer(&mut self, job: Job) {
        // Whoever does not wait for the answer any more does not miss it.
        match job {
            Job::Append(batch) => self.append(vec![batch]),
            Job::Purge(topic, answer) => drop(answer.send(self.purge(&topic).map_err(Error::from))),
            Job::Truncate(topic, before, answer) => {
                drop(answer.send(self.truncate(&topic, before).map_err(Error::from)));
            }
            Job::Sweep(answer) => drop(answer.send(self.sweep().map_err(Error::from))),
            Job::Close(answer) => drop(answer.send(self.close().map_err(Error::from))),
        }
    }

    /// Writes a change of what is kept.
    fn apply(&mut self, store: &Arc<Store>, change: Change, sync: bool) -> Result<(), Fault> {
        let Change { batch, records, removed, .. } = change;
        if batch.is_empty() {
            return Ok(());
        }
        let written = batch.commit().map_err(Fault::from).and_then(|()| if sync { store.sync() } else { Ok(()) });
        match written {
            Ok(()) => {
                for (topic, record) in records {
                    self.topics.put(topic, record);
                }
                self.metrics.trimmed.increment(removed);
                self.publish(store);
                Ok(())
            }
            Err(fault) => {
                let before = records
                    .into_iter()
                    .filter_map(|(topic, _)| Some((topic.clone(), self.topics.get(store, &topic).ok()??.head)))
                    .collect();
                self.fail(Failed { fault: fault.clone(), before });
                Err(fault)
            }
        }
    }

    fn purge(&mut self, topic: &TopicKey) -> Result<Head, Fault> {
        let store = self.writable()?;
        let (change, record) = trim::purge(&store, &mut self.topics, &mut self.life, topic)?;
        self.apply(&store, change, true)?;
        self.announce.reset(&Reset { topic: topic.clone(), head: record.head });
        Ok(record.head)
    }

    fn truncate(&mut self, topic: &TopicKey, before: u64) -> Result<(Head, bool), Fault> {
        let store = self.writable()?;
        let Some(change) = trim::truncate(&store, &mut self.topics, topic, before)? else {
            return Ok((Head::empty(self.life.epoch), false));
        };
        let head = change.records.first().map_or(Head::empty(self.life.epoch), |(_, record)| record.head);
        let more = change.more;
        self.apply(&store, change, !more)?;
        Ok((head, more))
    }

    fn sweep(&mut self) -> Result<(u64, bool), Fault> {
        let store = self.writable()?;
        let change = trim::sweep(&store, &mut self.topics, self.clock.now())?;
        let (removed, more) = (change.removed, change.more);
        self.apply(&store, change, false)?;
        Ok((removed, more))
    }

    fn close(&mut self) -> Result<(), Fault> {
        // There may be no later time.
        self.mend(Duration::ZERO)?;
        let store = self.writable()?;
        self.life.closed = true;
        let mut batch = store.batch(1);
        store.put_life(&mut batch, &self.life);
        let closed = batch.commit().map_err(Fault::from).and_then(|()| store.sync_all());
        if let Err(fault) = &closed {
            self.fail(Failed { fault: fault.clone(), before: Vec::new() });
        }
        closed
    }
}

/// A batch that is being answered.
struct Open {
    items: Vec<Option<Append>>,
    answers: Vec<Option<Result<Appended, Error>>>,
    durability: Durability,
    since: std::time::Instant,
    answer: tokio::sync::oneshot::Sender<Answers>,
}

impl Open {
    fn new(batch: Batch) -> Self {
        let Batch { items, since, answer } = batch;
        Self {
            durability: items.iter().map(|item| item.keep.durability).max().unwrap_or_default(),
            answers: items.iter().map(|_| None).collect(),
            items: items.into_iter().map(Some).collect(),
            since,
            answer,
        }
    }

    /// Answers, if every item has its answer; otherwise gives the batch back.
    fn answer_if_done(self, metrics: &Handles) -> Option<Self> {
        if self.answers.iter().any(Option::is_none) {
            return Some(self);
        }
        metrics.append_took(self.durability, self.since.elapsed());
        drop(self.answer.send(self.answers.into_iter().flatten().collect()));
        None
    }

    /// Answers what has no answer yet with the fault.
    fn refuse(self, fault: &Fault) {
        let answers = self.answers.into_iter().map(|a| a.unwrap_or_else(|| Err(fault.clone().into()))).collect();
        drop(self.answer.send(answers));
    }
}
