//! What waits for the writer, with a bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use fanfare_model::TopicKey;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::due::DueAt;
use super::options::Options;
use crate::metrics::Handles;
use crate::{Append, Appended, Error, Head, Stretch};

/// The answers to a batch, in its order.
pub(super) type Answers = Vec<Result<Appended, Error>>;

/// A batch of appends that waits.
pub(super) struct Batch {
    pub(super) items: Vec<Append>,
    pub(super) since: Instant,
    pub(super) answer: oneshot::Sender<Answers>,
}

/// What the writer can be asked to do.
pub(super) enum Job {
    Append(Batch),
    Purge(TopicKey, oneshot::Sender<Result<Head, Error>>),
    /// Puts what another engine had at the end of a topic.
    Restore(Stretch, oneshot::Sender<Result<(), Error>>),
    /// Removes some of the events before an offset; answers with the head and whether there are more.
    Truncate(TopicKey, u64, oneshot::Sender<Result<(Head, bool), Error>>),
    /// Removes some of what is too old, from a place in the list of due topics on; answers with how many events it
    /// was and where to go on, if there is more to do.
    Sweep(Option<DueAt>, oneshot::Sender<Result<(u64, Option<DueAt>), Error>>),
    Close(oneshot::Sender<Result<(), Error>>),
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(Job, Weight)>,
    events: usize,
    bytes: usize,
    /// No more is accepted.
    closed: bool,
    /// The writer is to end without doing what waits.
    stopped: bool,
}

#[derive(Clone, Copy)]
struct Weight {
    events: usize,
    bytes: usize,
}

/// The queue between the callers and the writer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    events_max: usize,
    bytes_max: usize,
    metrics: Arc<Handles>,
}

impl Queue {
    pub(super) fn new(options: &Options, metrics: Arc<Handles>) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            events_max: options.queue_events_max,
            bytes_max: options.queue_bytes_max.as_usize(),
            metrics,
        }
    }

    /// Hands a job to the writer, unless too much is waiting. Whatever its size, it is accepted when nothing
    /// waits: it is in memory already.
    pub(super) fn push(&self, job: Job) -> Result<(), Error> {
        let weight = weigh(&job);
        let mut waiting = self.waiting.lock();
        let closes = matches!(job, Job::Close(_));
        // To close again is how to try again what failed.
        if waiting.stopped || (waiting.closed && !closes) {
            return Err(Error::Closed);
        }
        let full = waiting.events + weight.events > self.events_max || waiting.bytes + weight.bytes > self.bytes_max;
        if closes {
            waiting.closed = true;
        } else if full && !waiting.jobs.is_empty() {
            return Err(Error::Overloaded);
        }
        waiting.events += weight.events;
        waiting.bytes += weight.bytes;
        waiting.jobs.push_back((job, weight));
        self.count(&waiting);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes all that wait, up to a bound; `None` when the writer is to end.
    pub(super) fn take(&self, events_max: usize, bytes_max: usize) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() && !waiting.stopped {
            self.filled.wait(&mut waiting);
        }
        if waiting.stopped {
            return None;
        }
        let (mut jobs, mut events, mut bytes) = (Vec::new(), 0, 0);
        while events < events_max && bytes < bytes_max {
            let Some((job, weight)) = waiting.jobs.pop_front() else { break };
            events += weight.events;
            bytes += weight.bytes;
            jobs.push(job);
        }
        waiting.events -= events;
        waiting.bytes -= bytes;
        self.count(&waiting);
        Some(jobs)
    }

    /// Drops what waits (its callers are told that the log is closed) and ends the writer.
    pub(super) fn stop(&self) {
        let mut waiting = self.waiting.lock();
        (waiting.closed, waiting.stopped) = (true, true);
        (waiting.events, waiting.bytes) = (0, 0);
        let dropped = std::mem::take(&mut waiting.jobs);
        self.count(&waiting);
        drop(waiting);
        drop(dropped);
        self.filled.notify_all();
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn count(&self, waiting: &Waiting) {
        self.metrics.queue_events.set(waiting.events as f64);
    }
}

fn weigh(job: &Job) -> Weight {
    match job {
        Job::Append(batch) => {
            Weight { events: batch.items.len(), bytes: batch.items.iter().map(|item| item.draft.size()).sum() }
        }
        Job::Restore(stretch, _) => Weight {
            events: stretch.events.len().max(1),
            bytes: stretch.events.iter().map(|event| event.draft.size()).sum(),
        },
        _ => Weight { events: 1, bytes: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Draft, Tenant, Topic};

    fn batch(events: usize) -> Job {
        let item = Append {
            topic: TopicKey::new(Tenant::default(), Topic::new("t").unwrap()),
            draft: Draft::new(Data::text("x")),
            keep: Arc::default(),
        };
        Job::Append(Batch { items: vec![item; events], since: Instant::now(), answer: oneshot::channel().0 })
    }

    #[test]
    fn a_full_queue_refuses_and_an_empty_one_takes_anything() {
        let options = Options { queue_events_max: 10, ..Options::default() };
        let queue = Queue::new(&options, Arc::new(Handles::new()));
        assert!(queue.push(batch(20)).is_ok());
        assert!(matches!(queue.push(batch(1)), Err(Error::Overloaded)));
        assert_eq!(queue.take(1, 1000).unwrap().len(), 1);
        for _ in 0..10 {
            queue.push(batch(1)).unwrap();
        }
        assert!(matches!(queue.push(batch(1)), Err(Error::Overloaded)));
        assert_eq!(queue.take(4, usize::MAX).unwrap().len(), 4);
        assert!(queue.push(Job::Close(oneshot::channel().0)).is_ok());
        assert!(matches!(queue.push(batch(1)), Err(Error::Closed)));
        queue.stop();
        assert!(queue.take(1, 1).is_none());
    }
}
