//! The hub: which topics have readers on this node, and where.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use fanfare_history::{Announce, Direction, Error, Page, Read, ReadFrom, Reset};
use fanfare_model::{ByteSize, Clock, Duration, Event, GapReason, Position, TopicKey};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::broker::{Receive, SharedBroker};
use crate::metrics::Handles;
use crate::policy::Policies;
use crate::reads::Reads;
use crate::repair::Doubts;
use crate::tail::{Ingested, RingLimits, Tail};
use crate::worker::{Inbox, Work};

/// Limits of the hub and of reading through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HubOptions {
    /// The latest events of a topic that are kept in memory while it has readers. A reader further behind reads
    /// the log. 256 covers the reconnect of a client on a busy topic.
    pub ring_events_max: usize,
    /// The most bytes of one topic's ring; the newest event is kept whatever its size.
    pub ring_bytes_max: ByteSize,
    /// The most bytes of all rings together. Above it, each ring shrinks to a few events as it is written to.
    pub rings_bytes_max: ByteSize,
    /// Events older than this leave the ring, so that quiet topics cost nothing. They are still in the log.
    pub ring_age_max: Duration,
    /// How long a topic without readers keeps its ring, so that a reconnecting client finds it.
    pub linger: Duration,
    /// The most events of one page read from the log for a reader that is behind.
    pub page_events_max: usize,
    /// The most bytes of one such page: what a reader that is behind may hold at a time.
    pub page_bytes_max: ByteSize,
    /// How often the head of a silent topic is compared with an engine that may lose announcements. 5 s: who waits for
    /// the last event of a topic that fell silent has it within twice that, though its announcement was lost.
    pub head_check_interval: Duration,
    /// At most so many of these comparisons a second; with more topics than that allows for, each has its turn later than
    /// every `head_check_interval`. 5000: a few calls to the engine, which takes hundreds of topics at a time.
    pub head_checks_per_second_max: u32,
    /// The most events that a subscription may begin before the newest (`last:N`).
    pub last_events_max: u32,
    /// How often events are removed that a topic no longer keeps because of their age.
    pub retention_interval: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            ring_events_max: 256,
            ring_bytes_max: ByteSize::mib(1),
            rings_bytes_max: ByteSize::mib(256),
            ring_age_max: Duration::from_secs(60),
            linger: Duration::from_secs(15),
            page_events_max: 256,
            page_bytes_max: ByteSize::kib(64),
            head_check_interval: Duration::from_secs(5),
            head_checks_per_second_max: 5000,
            last_events_max: 10_000,
            retention_interval: Duration::from_secs(5),
        }
    }
}

/// How many events a ring keeps while all rings together are above their bound.
const RING_EVENTS_UNDER_PRESSURE: usize = 4;
/// Locks of the table of tails: enough that publishers on all cores rarely meet.
const SHARDS: usize = 64;

type Tails = HashMap<TopicKey, Arc<Tail>>;

/// The tails of this node. The broker announces to it; readers take from it.
pub struct Hub {
    pub(crate) options: HubOptions,
    pub(crate) policies: Arc<Policies>,
    pub(crate) handles: Handles,
    pub(crate) inboxes: Box<[Inbox]>,
    shards: Box<[Mutex<Tails>]>,
    hasher: RandomState,
    broker: OnceLock<SharedBroker>,
    rings_bytes: AtomicUsize,
    pub(crate) doubts: Doubts,
    reads: Reads,
}

impl Hub {
    /// A hub whose readers live on `workers` workers.
    pub fn new(options: HubOptions, policies: Arc<Policies>, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            options,
            policies,
            handles: Handles::new(),
            inboxes: (0..workers.max(1)).map(|_| Inbox::default()).collect(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            broker: OnceLock::new(),
            rings_bytes: AtomicUsize::new(0),
            doubts: Doubts::default(),
            reads: Reads::default(),
        })
    }

    /// Gives the hub its broker. The broker was made with this hub, so it can only come afterwards.
    pub(crate) fn connect(&self, broker: SharedBroker) {
        let connected = self.broker.set(broker).is_ok();
        debug_assert!(connected, "a hub has one broker");
    }

    pub(crate) fn broker(&self) -> Result<&SharedBroker, Error> {
        self.broker.get().ok_or(Error::Closed)
    }

    fn shard(&self, key: &TopicKey) -> &Mutex<Tails> {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "only a choice of one of 64")]
        &self.shards[hash as usize % SHARDS]
    }

    /// The tail of `key`, made if there is none, with one more reader. Undone by [`Tail::release`].
    pub(crate) fn acquire(&self, key: &TopicKey) -> Arc<Tail> {
        let mut shard = self.shard(key).lock();
        let tail = shard.entry(key.clone()).or_insert_with(|| {
            self.handles.tails.increment(1);
            Arc::new(Tail::new(key.clone(), Arc::clone(self.policies.of(&key.topic)), self.inboxes.len()))
        });
        tail.readers.fetch_add(1, Ordering::AcqRel);
        Arc::clone(tail)
    }

    /// Waits until the broker announces the topic of `tail` and its head is known. One call to the engine,
    /// however many readers wait.
    pub(crate) async fn attach(&self, tail: &Arc<Tail>) -> Result<(), Error> {
        tail.attached
            .get_or_try_init(|| async {
                let broker = self.broker()?;
                broker.attach(vec![tail.key.clone()]).await?;
                let heads = broker.heads(vec![tail.key.clone()]).await?;
                let head = heads.first().ok_or(Error::Closed)?;
                self.follow_up(tail, tail.attach(head, self.ring_limits()));
                Ok(())
            })
            .await
            .copied()
    }

    fn find(&self, key: &TopicKey) -> Option<Arc<Tail>> {
        self.shard(key).lock().get(key).cloned()
    }

    pub(crate) fn ring_limits(&self) -> RingLimits {
        let pressed = self.rings_bytes.load(Ordering::Relaxed) > self.options.rings_bytes_max.as_usize();
        RingLimits {
            events_max: if pressed { RING_EVENTS_UNDER_PRESSURE } else { self.options.ring_events_max },
            bytes_max: self.options.ring_bytes_max.as_usize(),
        }
    }

    /// Acts on what happened to a tail.
    pub(crate) fn follow_up(&self, tail: &Arc<Tail>, done: Ingested) {
        self.count_ring_bytes(done.bytes);
        if done.advanced {
            for (worker, inbox) in self.inboxes.iter().enumerate() {
                if tail.has_news(worker) {
                    inbox.push(Work::Walk(Arc::clone(tail)));
                }
            }
        }
        if done.fill {
            // Any worker will do; the first is always there.
            self.inboxes[0].push(Work::Fill(Arc::clone(tail)));
        }
    }

    /// Puts what was read from the log before the ring of a tail: see [`Tail::recall`].
    pub(crate) fn recall(&self, tail: &Tail, offset: u64, events: &[Arc<Event>], life: u32) {
        let grown = tail.recall(offset, events, life, self.ring_limits());
        self.count_ring_bytes(grown.cast_signed());
    }

    fn count_ring_bytes(&self, change: isize) {
        if change >= 0 {
            self.rings_bytes.fetch_add(change.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.rings_bytes.fetch_sub(change.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// Reads the log: once, for all who ask for the same at the same time.
    pub(crate) async fn read(&self, read: Read) -> Result<Arc<Page>, Error> {
        self.reads.read(self.broker()?, read).await
    }

    /// A request for the page after offset `after`.
    pub(crate) fn page(&self, key: &TopicKey, after: u64) -> Read {
        Read {
            topic: key.clone(),
            from: ReadFrom::Offset(after + 1),
            direction: Direction::Forward,
            limit: self.options.page_events_max,
            bytes_max: self.options.page_bytes_max.as_usize(),
            age_max: self.policies.of(&key.topic).keep.age_max,
        }
    }

    /// The tails of one of so many parts of the table.
    pub(crate) fn tails(&self, part: usize, parts: usize) -> Vec<Arc<Tail>> {
        let shards = self.shards.iter().skip(part).step_by(parts);
        shards.flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Forgets tails without readers and old events in rings. Called every second or so.
    pub(crate) fn sweep(&self, clock: &dyn Clock) {
        let linger = self.options.linger.get();
        for shard in &self.shards {
            // Under the lock, because readers are counted under it.
            let mut shard = shard.lock();
            let mut forgotten = Vec::new();
            shard.retain(|_, tail| {
                let keep = tail.readers.load(Ordering::Acquire) > 0 || tail.idle_for() < linger;
                if !keep {
                    forgotten.push(Arc::clone(tail));
                }
                keep
            });
            for tail in &forgotten {
                self.count_ring_bytes(-tail.ring_bytes().cast_signed());
                self.handles.tails.decrement(1);
            }
            // Also under it: who comes back to the topic attaches it after this.
            if let (Ok(broker), false) = (self.broker(), forgotten.is_empty()) {
                broker.detach(forgotten.into_iter().map(|tail| tail.key.clone()).collect());
            }
        }
        let before = clock.now().minus(self.options.ring_age_max.get());
        for tail in self.tails(0, 1) {
            let freed = tail.drop_older(before);
            self.count_ring_bytes(-freed.cast_signed());
        }
        self.handles.ring_bytes.set(self.rings_bytes.load(Ordering::Relaxed) as f64);
    }
}

impl Announce for Hub {
    fn stored(&self, events: &[Arc<Event>]) {
        let mut at: Option<Arc<Tail>> = None;
        for event in events {
            // Batches are often of one topic: look it up once.
            if at.as_ref().is_none_or(|tail| tail.key != event.topic) {
                at = self.find(&event.topic);
            }
            if let Some(tail) = &at {
                self.follow_up(tail, tail.ingest(event, self.ring_limits()));
            }
        }
    }

    fn reset(&self, reset: &Reset) {
        if let Some(tail) = self.find(&reset.topic) {
            self.follow_up(&tail, tail.rebirth(&reset.head, GapReason::Epoch, self.ring_limits()));
        }
    }
}

impl Receive for Hub {
    fn heard(&self, topic: &TopicKey, last: Position) {
        if let Some(tail) = self.find(topic) {
            self.follow_up(&tail, tail.heard(last));
        }
    }

    fn lost(&self) {
        self.doubts.raise();
        self.inboxes[0].push(Work::CheckHeads);
    }
}
