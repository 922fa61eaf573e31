//! A writer: sends all that waits for its topics in one transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_history::{Append, Appended, Error};
use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::append::{self, Placed};
use crate::error::Failure;
use crate::lanes::{Answers, Plan, Work};

/// The most bytes of data in one transaction, passed by its last event at most.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Topics of one writer whose locks are waited for at the same time, each on a connection of its own.
const WAITS_MAX: usize = 4;
/// How soon further ones are tried again: a sweep holds many for a moment.
const AGAIN: Duration = Duration::from_millis(10);
/// How often a transaction is tried again that was in another's way.
const TRIES: u32 = 3;

/// One event on its way, and where its answer goes.
struct Item {
    append: Append,
    until: Instant,
    /// Which part it is of, and which item of that.
    part: u64,
    at: usize,
}

/// A part whose items are not all answered.
struct Open {
    answers: Vec<Option<Result<Appended, Error>>>,
    left: usize,
    bytes: usize,
    answer: oneshot::Sender<Answers>,
}

/// What came of waiting for the lock of a topic.
struct Waited {
    topic: TopicKey,
    items: Vec<Item>,
    placed: Result<Vec<Placed>, Failure>,
}

/// One writer.
pub(crate) struct Lane {
    plan: Arc<Plan>,
    waiting: Arc<AtomicUsize>,
    queue: mpsc::Receiver<Work>,
    connection: Option<PgConnection>,
    /// What has been taken from the queue and waits for its transaction.
    ready: VecDeque<Item>,
    open: HashMap<u64, Open>,
    parts: u64,
    /// Topics whose lock somebody else holds, and what waits behind the events that wait for it: order is kept.
    blocked: HashMap<TopicKey, VecDeque<Item>>,
    waits: FuturesUnordered<BoxFuture<'static, Waited>>,
    /// Blocked topics that are not waited for but tried again, and when.
    again: Vec<TopicKey>,
    again_at: Instant,
    closing: Vec<oneshot::Sender<()>>,
}

impl Lane {
    pub(crate) fn new(plan: Arc<Plan>, waiting: Arc<AtomicUsize>, queue: mpsc::Receiver<Work>) -> Self {
        Self {
            plan,
            waiting,
            queue,
            connection: None,
            ready: VecDeque::new(),
            open: HashMap::new(),
            parts: 0,
            blocked: HashMap::new(),
            waits: FuturesUnordered::new(),
            again: Vec::new(),
            again_at: Instant::now(),
            closing: Vec::new(),
        }
    }

    /// Runs until every handle to it is gone.
    pub(crate) async fn run(mut self) {
        let mut is_open = true;
        while is_open || !self.open.is_empty() {
            while let Ok(work) = self.queue.try_recv() {
                self.accept(work);
                if self.ready.len() >= self.plan.batch_events_max {
                    break;
                }
            }
            // Also while there is always something to write.
            while let Some(Some(waited)) = self.waits.next().now_or_never() {
                self.unblock(waited);
            }
            if self.again_at <= Instant::now() {
                self.try_again();
            }
            if !self.ready.is_empty() {
                self.write().await;
                continue;
            }
            if self.open.is_empty() {
                self.closing.drain(..).for_each(|done| {
                    let _ = done.send(());
                });
            }
            tokio::select! {
                work = self.queue.recv(), if is_open => match work {
                    Some(work) => self.accept(work),
                    None => is_open = false,
                },
                Some(waited) = self.waits.next() => self.unblock(waited),
                () = tokio::time::sleep_until(self.again_at), if !self.again.is_empty() => self.try_again(),
                else => return,
            }
        }
    }

    fn accept(&mut self, work: Work) {
        let part = match work {
            Work::Close(done) => return self.closing.push(done),
            Work::Part(part) => part,
        };
        self.parts += 1;
        let (number, left) = (self.parts, part.items.len());
        let answers = part.items.iter().map(|_| None).collect();
        self.open.insert(number, Open { answers, left, bytes: part.bytes, answer: part.answer });
        for (at, append) in part.items.into_iter().enumerate() {
            let item = Item { append, until: part.until, part: number, at };
            match self.blocked.get_mut(&item.append.topic) {
                Some(behind) => behind.push_back(item),
                None => self.ready.push_back(item),
            }
        }
    }

    /// One transaction with what is ready.
    async fn write(&mut self) {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let now = Instant::now();
        while items.len() < self.plan.batch_events_max && bytes < BATCH_BYTES_MAX {
            let Some(item) = self.ready.pop_front() else { break };
            if item.until <= now {
                self.answer(&item, Err(Failure::Slow.into()));
                continue;
            }
            bytes += item.append.draft.size();
            items.push(item);
        }
        if items.is_empty() {
            return;
        }
        let placed = {
            let appends: Vec<&Append> = items.iter().map(|item| &item.append).collect();
            place(&self.plan, &mut self.connection, &appends, false).await
        };
        let busy = self.settle(items, placed);
        self.plan.server.metrics.busy.increment(busy.len() as u64);
        let mut by_topic: HashMap<TopicKey, Vec<Item>> = HashMap::new();
        for item in busy {
            by_topic.entry(item.append.topic.clone()).or_default().push(item);
        }
        for (topic, items) in by_topic {
            // What is ready of the same topic comes after.
            let (behind, ready): (VecDeque<Item>, _) =
                self.ready.drain(..).partition(|item| item.append.topic == topic);
            self.ready = ready;
            if self.waits.len() < WAITS_MAX {
                self.blocked.insert(topic.clone(), behind);
                self.wait_for(topic, items);
            } else {
                self.blocked.insert(topic.clone(), items.into_iter().chain(behind).collect());
                if self.again.is_empty() {
                    self.again_at = Instant::now() + AGAIN;
                }
                self.again.push(topic);
            }
        }
    }

    /// Answers what has its place and tells of it; returns what has none because its topic is locked.
    fn settle(&mut self, items: Vec<Item>, placed: Result<Vec<Placed>, Failure>) -> Vec<Item> {
        let placed = match placed {
            Ok(placed) => placed,
            Err(failure) => {
                tracing::warn!(error = %failure, source = source(&failure), events = items.len(), "events could not be stored");
                let failure = Arc::new(failure);
                for item in &items {
                    self.answer(item, Err(Error::Unavailable(Box::new(Shared(Arc::clone(&failure))))));
                }
                return Vec::new();
            }
        };
        let mut events: Vec<Arc<Event>> = Vec::new();
        if self.plan.tells {
            events.extend(items.iter().zip(&placed).filter_map(|(item, placed)| placed.event(&item.append)));
        }
        // Before the answers, so that whoever has one has been told of the event.
        if placed.iter().any(|placed| matches!(placed, Placed::At { prev: Some(_), .. })) {
            (self.plan.stored)(&events);
        }
        let mut busy = Vec::new();
        for (item, placed) in items.into_iter().zip(placed) {
            match placed.appended(&item.append) {
                Some(appended) => self.answer(&item, Ok(appended)),
                None => busy.push(item),
            }
        }
        busy
    }

    fn answer(&mut self, item: &Item, answer: Result<Appended, Error>) {
        let Some(open) = self.open.get_mut(&item.part) else { return };
        if open.answers[item.at].replace(answer).is_none() {
            open.left -= 1;
        }
        if open.left == 0
            && let Some(open) = self.open.remove(&item.part)
        {
            self.waiting.fetch_sub(open.bytes, Ordering::AcqRel);
            let answers = open.answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect();
            // Whoever does not wait any more does not mind.
            let _ = open.answer.send(answers);
        }
    }

    /// Waits beside for the lock of a topic that somebody else holds.
    fn wait_for(&mut self, topic: TopicKey, items: Vec<Item>) {
        let plan = Arc::clone(&self.plan);
        self.waits.push(Box::pin(async move {
            let appends: Vec<&Append> = items.iter().map(|item| &item.append).collect();
            let placed = place(&plan, &mut None, &appends, true).await;
            Waited { topic, items, placed }
        }));
    }

    fn unblock(&mut self, waited: Waited) {
        let busy = self.settle(waited.items, waited.placed);
        debug_assert!(busy.is_empty(), "who waits for a lock gets it or fails");
        self.release(&waited.topic);
    }

    /// Those that could not be waited for are ready once more.
    fn try_again(&mut self) {
        for topic in std::mem::take(&mut self.again) {
            self.release(&topic);
        }
    }

    /// What waited behind a topic's lock is ready, before everything else.
    fn release(&mut self, topic: &TopicKey) {
        for item in self.blocked.remove(topic).into_iter().flatten().rev() {
            self.ready.push_front(item);
        }
    }
}

/// One transaction, tried again if another was in its way.
async fn place(
    plan: &Plan,
    connection: &mut Option<PgConnection>,
    appends: &[&Append],
    wait: bool,
) -> Result<Vec<Placed>, Failure> {
    let mut tries = 0;
    loop {
        let mut open = match connection.take() {
            Some(open) => open,
            None => plan.server.connect().await?,
        };
        tries += 1;
        let placed = append::append(&plan.server, &mut open, plan.into, appends, plan.clock.now(), wait).await;
        match placed {
            Ok(placed) => {
                *connection = Some(open);
                return Ok(placed);
            }
            Err(failure) => {
                if failure.is_answer() {
                    *connection = Some(open);
                }
                if !failure.is_collision() || tries >= TRIES {
                    return Err(failure);
                }
            }
        }
    }
}

fn source(failure: &Failure) -> String {
    std::error::Error::source(failure).map_or_else(String::new, ToString::to_string)
}

/// One failure of many events.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(#[from] Arc<Failure>);
