//! The log in memory: forgets everything when the process ends.
//!
//! It is the engine of demonstrations and tests, and the orderer of ephemeral topics on every node:
//! with [`crate::Keep::events_max`] of 0 it keeps only the head of a topic and announces the event.

mod options;
mod shard;
mod topic;

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fanfare_model::{Clock, Epoch, Event, Timestamp, TopicKey};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

use crate::metrics::Handles;
use crate::{
    Admin, Announce, Append, Appended, Capabilities, Durability, Error, Failover, Head, Log, Page, Read, Reset,
    Restore, Retention, Stretch, TimeOf, TopicPage, TopicsQuery, Window,
};

pub use options::Options;
use shard::Shard;

/// So many locks: appends to topics of different shards do not wait for each other.
const SHARDS: usize = 16;

/// The log of every topic, in memory. [`Durability`] is not looked at: an append is acknowledged at once.
///
/// Every topic begins with one epoch, chosen when the log is made. A topic that was forgotten (see
/// [`Options::topics_max`]) comes back with another one, so that no offset is used twice within an epoch.
pub struct MemoryLog {
    shards: [Mutex<Shard>; SHARDS],
    hasher: DefaultHashBuilder,
    clock: Arc<dyn Clock>,
    announce: Arc<dyn Announce>,
    options: Options,
    closed: AtomicBool,
    metrics: Handles,
}

impl MemoryLog {
    /// An empty log with a fresh epoch.
    pub fn new(clock: Arc<dyn Clock>, announce: Arc<dyn Announce>, options: Options) -> Self {
        let epoch = Epoch::generate();
        let topics_max = options.topics_max.div_ceil(SHARDS);
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(epoch, topics_max, options.ids_per_topic_max))),
            hasher: DefaultHashBuilder::default(),
            clock,
            announce,
            options,
            closed: AtomicBool::new(false),
            metrics: Handles::new(),
        }
    }

    fn shard_of(&self, topic: &TopicKey) -> usize {
        usize::try_from(self.hasher.hash_one(topic) % SHARDS as u64).unwrap_or(0)
    }

    fn append_now(&self, batch: Vec<Append>) -> Vec<Result<Appended, Error>> {
        let since = Instant::now();
        let durability = batch.iter().map(|item| item.keep.durability).max();
        let mut answers: Vec<Option<Result<Appended, Error>>> = batch.iter().map(|_| None).collect();
        let mut by_shard: [Vec<(usize, Append)>; SHARDS] = std::array::from_fn(|_| Vec::new());
        for (at, item) in batch.into_iter().enumerate() {
            by_shard[self.shard_of(&item.topic)].push((at, item));
        }
        let now = self.clock.now();
        for (shard, items) in self.shards.iter().zip(by_shard).filter(|(_, items)| !items.is_empty()) {
            let mut events = Vec::with_capacity(items.len());
            let mut shard = shard.lock();
            for (at, item) in items {
                answers[at] = Some(self.append_one(&mut shard, item, now, &mut events));
            }
            // Under the lock, so that what is announced of a topic is in the order of its offsets.
            if !events.is_empty() {
                self.announce.stored(&events);
            }
            self.metrics.appended.increment(events.len() as u64);
        }
        if let Some(durability) = durability {
            self.metrics.append_took(durability, since.elapsed());
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect()
    }

    fn append_one(
        &self,
        shard: &mut Shard,
        item: Append,
        now: Timestamp,
        events: &mut Vec<Arc<Event>>,
    ) -> Result<Appended, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let (size, size_max) = (item.draft.size(), self.options.event_bytes_max.as_usize());
        if size > size_max {
            return Err(Error::TooLarge { size, size_max });
        }
        let topic = shard.open(&item.topic);
        if let Some(first) = topic.appended_before(&item.draft.id, &item.keep, now) {
            self.metrics.duplicates.increment(1);
            return Ok(first);
        }
        let (event, trimmed) = topic.append(item, now);
        self.metrics.trimmed.increment(trimmed);
        let appended = Appended { position: event.position(), time: event.time, duplicate: false };
        events.push(event);
        Ok(appended)
    }

    fn topics_now(&self, query: &TopicsQuery) -> TopicPage {
        let mut topics: Vec<_> = self.shards.iter().flat_map(|shard| shard.lock().matching(query)).collect();
        topics.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let more = topics.len() > query.limit;
        topics.truncate(query.limit);
        TopicPage { topics, more }
    }

    fn admin_now(&self, change: &Admin) -> Head {
        match change {
            Admin::Purge(key) => {
                let mut shard = self.shards[self.shard_of(key)].lock();
                let head = shard.purge(key);
                self.announce.reset(&Reset { topic: key.clone(), head });
                head
            }
            Admin::TruncateBefore(key, offset) => {
                let mut shard = self.shards[self.shard_of(key)].lock();
                let Some(topic) = shard.get_mut(key) else { return shard.head(key) };
                self.metrics.trimmed.increment(topic.truncate_before(*offset));
                topic.head()
            }
        }
    }
}

impl Restore for MemoryLog {
    fn restore(&self, stretch: Stretch) -> BoxFuture<'_, Result<(), Error>> {
        let mut shard = self.shards[self.shard_of(&stretch.topic)].lock();
        let restored = if stretch.fits(&shard.head(&stretch.topic)) {
            shard.open(&stretch.topic).restore(stretch);
            Ok(())
        } else {
            Err(Error::Occupied)
        };
        std::future::ready(restored).boxed()
    }
}

impl Log for MemoryLog {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "memory",
            durability_max: Durability::None,
            survives_restart: false,
            event_bytes_max: self.options.event_bytes_max.as_usize(),
            failover: Failover::None,
            dense: true,
            retention: Retention::PerAppend,
            bounds_bytes: true,
            truncates: true,
            window: Window::PerAppend,
            time: TimeOf::Node,
        }
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(async move { self.append_now(batch) })
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        let heads = topics.iter().map(|key| self.shards[self.shard_of(key)].lock().head(key)).collect();
        std::future::ready(Ok(heads)).boxed()
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        let since = Instant::now();
        let page = self.shards[self.shard_of(&read.topic)].lock().read(&read, self.clock.now());
        self.metrics.read_seconds.record(since.elapsed());
        std::future::ready(Ok(page)).boxed()
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        std::future::ready(Ok(self.topics_now(&query))).boxed()
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(async move { Ok(self.admin_now(&change)) })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        let now = self.clock.now();
        let trimmed = self.shards.iter().map(|shard| shard.lock().sweep(now)).sum();
        self.metrics.trimmed.increment(trimmed);
        std::future::ready(Ok(trimmed)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        std::future::ready(Ok(())).boxed()
    }
}
