//! Writers: each has some of the topics, and sends all that waits for them in one transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_history::{Append, Appended, Error};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Event, TopicKey};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::append::{self, Into, Placed};
use crate::error::Failure;
use crate::server::SharedServer;

/// Parts of batches that may wait for one writer; what they weigh is bounded by bytes.
const PARTS_MAX: usize = 8192;
/// The most bytes of data in one transaction, passed by its last event at most.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Topics of one writer whose locks are waited for at the same time, each on a connection of its own.
const WAITS_MAX: usize = 4;
/// How often a transaction is tried again that was in another's way.
const TRIES: u32 = 3;

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
type Answers = Vec<Result<Appended, Error>>;

enum Work {
    Part(Part),
    /// Everything before this is done.
    Close(oneshot::Sender<()>),
}

/// The items of one batch that belong to one writer.
struct Part {
    items: Vec<Append>,
    /// After this nobody waits for an answer: what was not begun is not begun any more.
    until: Instant,
    bytes: usize,
    answer: oneshot::Sender<Answers>,
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

struct Lane {
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
    closing: Vec<oneshot::Sender<()>>,
}

impl Lane {
    fn new(plan: Arc<Plan>, waiting: Arc<AtomicUsize>, queue: mpsc::Receiver<Work>) -> Self {
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
            closing: Vec::new(),
        }
    }

    /// Runs until every handle to it is gone.
    async fn run(mut self) {
        loop {
            while let Ok(work) = self.queue.try_recv() {
                self.accept(work);
                if self.ready.len() >= self.plan.batch_events_max {
                    break;
                }
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
                work = self.queue.recv() => match work {
                    Some(work) => self.accept(work),
                    None if self.waits.is_empty() => return,
                    None => if let Some(waited) = self.waits.next().await { self.unblock(waited) },
                },
                Some(waited) = self.waits.next() => self.unblock(waited),
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
            let (behind, ready) = self.ready.drain(..).partition(|item| item.append.topic == topic);
            self.ready = ready;
            self.blocked.insert(topic.clone(), behind);
            self.wait_for(topic, items);
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
        if self.waits.len() >= WAITS_MAX {
            for item in &items {
                self.answer(item, Err(Error::Overloaded));
            }
            return self.release(&topic);
        }
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
