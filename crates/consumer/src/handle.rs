//! The handle that doors hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_bus::{Bus, Subscribe};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, GapReason, Position, StartFrom, Tag, TopicKey};

use crate::cursors::{Cursors, Key, Swap, Swapped, Version};
use crate::groups::Groups;
use crate::metrics::Handles;
use crate::{Begin, Error, Name, Options, Progress};

/// How often a change is tried when other nodes change the same consumer at the same time. They all get on: of those
/// that collide one succeeds.
const TRIES: usize = 16;

/// Named durable consumers. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) bus: Bus,
}

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Cursors>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) groups: Groups,
    pub(crate) metrics: Handles,
    stopping: AtomicBool,
}

impl Handle {
    /// Joins the records of consumers and the bus that has their events.
    pub fn new(engine: Arc<dyn Cursors>, bus: Bus, clock: Arc<dyn Clock>, options: Options) -> Self {
        let (groups, metrics) = (Groups::default(), Handles::new());
        let shared = Shared { engine, clock, options, groups, metrics, stopping: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), bus }
    }

    /// The same consumers, for callers on another worker.
    #[must_use]
    pub fn on_worker(&self, worker: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), bus: self.bus.on_worker(worker) }
    }

    /// Starts what is needed for an orderly end: pulls that wait when the soft stop begins are answered at once, with
    /// nothing. Call once per node.
    pub fn start(&self, life: &Lifecycle) {
        let (shared, stop) = (Arc::clone(&self.shared), life.soft().clone());
        life.spawn(TaskKind::Background, "answer waiting pulls", async move {
            stop.cancelled().await;
            shared.stopping.store(true, Ordering::Release);
            shared.groups.tell_all();
        });
    }

    /// The bus that has the events.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    /// Sends a consumer to a place in its topic, and makes it if there is none. Whatever was leased is not any more.
    /// Returns the position that it goes on after.
    pub async fn seek(&self, topic: &TopicKey, consumer: &Name, to: StartFrom) -> Result<Position, Error> {
        self.check_history(topic)?;
        let at = self.find(topic, to).await?;
        let key = key(topic, consumer);
        self.change(&key, true, |found| {
            let now = self.shared.clock.now();
            let mut progress = found.unwrap_or_else(|| Progress::new(at, now));
            progress.restart(at, now);
            Ok((Some(progress), ()))
        })
        .await?;
        Ok(at)
    }

    /// Forgets a consumer of a topic. Whoever pulls under its name later begins anew.
    pub async fn forget(&self, topic: &TopicKey, consumer: &Name) -> Result<(), Error> {
        let key = key(topic, consumer);
        self.change(&key, true, |found| found.map(|_| (None, ())).ok_or(Error::NotFound)).await
    }

    /// Stores everything that waits, and refuses more.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.engine.close().await
    }

    pub(crate) fn check_history(&self, topic: &TopicKey) -> Result<(), Error> {
        if self.bus.policy(&topic.topic).history {
            return Ok(());
        }
        Err(Error::NoHistory { kind: topic.topic.kind().to_owned() })
    }

    /// Where a consumer begins that nobody has sent anywhere.
    pub(crate) async fn begin(&self, topic: &TopicKey) -> Result<Progress, Error> {
        let from = match self.shared.options.begin {
            Begin::Start => StartFrom::Start,
            Begin::Now => StartFrom::Now,
        };
        Ok(Progress::new(self.find(topic, from).await?, self.shared.clock.now()))
    }

    /// The place in the log as a subscription finds it.
    async fn find(&self, topic: &TopicKey, start: StartFrom) -> Result<Position, Error> {
        let subscribe = Subscribe { topic: topic.clone(), start, on_slow: None, history: true };
        let found = self.bus.reader().subscribe(subscribe).await.map_err(fanfare_bus::Error::from)?;
        match (start, found.gap.map(|gap| gap.reason)) {
            // What has been trimmed since is told by the next pull.
            (StartFrom::After(position), Some(GapReason::Trimmed)) => Ok(Position { tag: Tag::NONE, ..position }),
            (StartFrom::After(_), Some(_)) => Err(Error::NoSuchPlace),
            _ => Ok(found.position),
        }
    }

    /// Changes a record with `change`, which may be called again if another node comes in between, and tells those who
    /// wait. `change` gets the record there is, and says what is to be there.
    pub(crate) async fn change<T>(
        &self,
        key: &Key,
        commit: bool,
        mut change: impl FnMut(Option<Progress>) -> Result<(Option<Progress>, T), Error>,
    ) -> Result<T, Error> {
        let group = self.shared.groups.join(key);
        let _turn = group.turn.lock().await;
        for _ in 0..TRIES {
            let (expected, found) = self.shared.engine.get(key).await?.unzip();
            let (progress, result) = change(found)?;
            if self.swap(key, expected, progress, commit).await?.is_some() {
                group.freed.notify_waiters();
                return Ok(result);
            }
        }
        Err(Error::Overloaded)
    }

    /// Puts a record in the place of the expected one; `None` if another was there.
    pub(crate) async fn swap(
        &self,
        key: &Key,
        expected: Option<Version>,
        progress: Option<Progress>,
        commit: bool,
    ) -> Result<Option<Version>, Error> {
        let commit = commit && self.shared.options.durability == fanfare_bus::Durability::Committed;
        match self.shared.engine.swap(Swap { key: key.clone(), expected, progress, commit }).await? {
            Swapped::Done(version) => Ok(Some(version)),
            Swapped::Conflict => Ok(None),
            Swapped::Full => Err(Error::TooManyConsumers { most: self.shared.options.consumers_max }),
        }
    }
}

pub(crate) fn key(topic: &TopicKey, consumer: &Name) -> Key {
    Key { tenant: topic.tenant.clone(), consumer: consumer.clone(), topic: topic.topic.clone() }
}
