//! Where events to be stored are handed over: to one of a few writers, each of which has some of the topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_history::{Append, Appended, Error};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Event, TopicKey};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::append::Into;
use crate::error::Failure;
use crate::lane::Lane;
use crate::server::SharedServer;

/// Parts of batches that may wait for one writer; what they weigh is bounded by bytes.
const PARTS_MAX: usize = 8192;

/// What is told of events that have just been stored, in the order of their offsets.
pub(crate) type Stored = Arc<dyn Fn(&[Arc<Event>]) + Send + Sync>;

/// What the writers need.
pub(crate) struct Plan {
    pub(crate) server: SharedServer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) into: Into,
    pub(crate) writers: usize,
    pub(crate) batch_events_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) event_bytes_max: usize,
    /// Called after each transaction, with what it stored if `tells`.
    pub(crate) stored: Stored,
    /// Whether the events are wanted, and not only that there were some.
    pub(crate) tells: bool,
}

/// The writers of one kind of tables.
pub(crate) struct Lanes {
    queues: Vec<mpsc::Sender<Work>>,
    waiting: Arc<AtomicUsize>,
    queue_bytes_max: usize,
    event_bytes_max: usize,
    timeout: Duration,
    closed: AtomicBool,
}

/// The answers to the items of a part.
pub(crate) type Answers = Vec<Result<Appended, Error>>;

/// What a writer is handed.
pub(crate) enum Work {
    Part(Part),
    /// Everything before this is done.
    Close(oneshot::Sender<()>),
}

/// The items of one batch that belong to one writer.
pub(crate) struct Part {
    pub(crate) items: Vec<Append>,
    /// After this nobody waits for an answer: what was not begun is not begun any more.
    pub(crate) until: Instant,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Answers>,
}

impl Lanes {
    pub(crate) fn start(plan: Plan, life: &Lifecycle) -> Self {
        let plan = Arc::new(plan);
        let waiting = Arc::new(AtomicUsize::new(0));
        let queues = (0..plan.writers)
            .map(|_| {
                let (work, queue) = mpsc::channel(PARTS_MAX);
                let lane = Lane::new(Arc::clone(&plan), Arc::clone(&waiting), queue);
                let ended = life.hard().clone();
                life.spawn(TaskKind::Background, "write to PostgreSQL", async move {
                    tokio::select! {
                        () = lane.run() => {}
                        () = ended.cancelled() => {}
                    }
                });
                work
            })
            .collect();
        let (queue_bytes_max, event_bytes_max) = (plan.queue_bytes_max, plan.event_bytes_max);
        // The one that waits in the queue and then for a lock may take both times.
        let timeout = plan.server.timeout * 2;
        Self { queues, waiting, queue_bytes_max, event_bytes_max, timeout, closed: AtomicBool::new(false) }
    }

    /// Appends a batch; answers per item, in order. What was handed to the writers is not undone by dropping this.
    pub(crate) async fn append(&self, batch: Vec<Append>) -> Vec<Result<Appended, Error>> {
        let mut answers: Vec<Option<Result<Appended, Error>>> = batch.iter().map(|_| None).collect();
        let mut parts: Vec<(Vec<usize>, Vec<Append>)> = self.queues.iter().map(|_| Default::default()).collect();
        for (at, item) in batch.into_iter().enumerate() {
            let size = item.draft.size();
            if size > self.event_bytes_max {
                answers[at] = Some(Err(Error::TooLarge { size, size_max: self.event_bytes_max }));
                continue;
            }
            let (places, items) = &mut parts[self.lane_of(&item.topic)];
            places.push(at);
            items.push(item);
        }
        let until = Instant::now() + self.timeout;
        let mut waits = Vec::new();
        for (lane, (places, items)) in self.queues.iter().zip(parts).filter(|(_, (places, _))| !places.is_empty()) {
            match self.hand_over(lane, items, until) {
                Ok(answer) => waits.push((places, answer)),
                Err(refuse) => places.iter().for_each(|at| answers[*at] = Some(Err(refuse()))),
            }
        }
        for (places, answer) in waits {
            let part = match tokio::time::timeout_at(until, answer).await {
                Ok(Ok(part)) => part,
                Ok(Err(_)) => places.iter().map(|_| Err(Error::Closed)).collect(),
                Err(_) => places.iter().map(|_| Err(Failure::Slow.into())).collect(),
            };
            for (at, answer) in places.into_iter().zip(part) {
                answers[at] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect()
    }

    fn lane_of(&self, topic: &TopicKey) -> usize {
        let lanes = self.queues.len() as u64;
        usize::try_from(xxh3_64(topic.topic.as_str().as_bytes()) % lanes).unwrap_or(0)
    }

    fn hand_over(
        &self,
        lane: &mpsc::Sender<Work>,
        items: Vec<Append>,
        until: Instant,
    ) -> Result<oneshot::Receiver<Answers>, fn() -> Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(|| Error::Closed);
        }
        // An event weighs something even without data.
        let bytes = items.iter().map(|item| item.draft.size() + 256).sum();
        if self.waiting.fetch_add(bytes, Ordering::AcqRel) + bytes > self.queue_bytes_max.max(bytes) {
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
            return Err(|| Error::Overloaded);
        }
        let (answer, answered) = oneshot::channel();
        match lane.try_send(Work::Part(Part { items, until, bytes, answer })) {
            Ok(()) => Ok(answered),
            Err(refused) => {
                self.waiting.fetch_sub(bytes, Ordering::AcqRel);
                Err(match refused {
                    mpsc::error::TrySendError::Full(_) => || Error::Overloaded,
                    mpsc::error::TrySendError::Closed(_) => || Error::Closed,
                })
            }
        }
    }

    /// Waits until everything that was accepted is answered, and accepts no more.
    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        for lane in &self.queues {
            let (done, all_done) = oneshot::channel();
            if lane.send(Work::Close(done)).await.is_ok() {
                // A writer that is gone has nothing left.
                let _ = all_done.await;
            }
        }
    }
}
