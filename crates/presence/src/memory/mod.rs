//! The engine of one node: members in memory.
//!
//! Several holders can share it, so that it keeps the whole contract; in one process there is one.

mod crowd;
mod feed;
mod index;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::Fence;
use fanfare_model::{Clock, SessionId, SystemClock, Tenant, Topic, TopicKey, UserId};
use metrics::Gauge;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::change::Change;
use crate::engine::{Adopted, Done, Edit, Enter, Holder, Presence};
use crate::error::Error;
use crate::member::{Members, Occupancy};
use crate::metrics as names;
use crowd::{Crowd, Step, Unseat};
use feed::Feed;
use index::Index;

/// So many locks: changes of topics of different shards do not wait for each other.
const SHARDS: usize = 16;

/// Who is where, as long as the process lives.
pub struct MemoryPresence {
    shards: [Shard; SHARDS],
    index: Index,
    seats: AtomicUsize,
    /// Tells how many seats there are, if one node has them all.
    told: Gauge,
    leases: RwLock<HashMap<Holder, Instant>>,
    clock: Arc<dyn Clock>,
    life: Arc<str>,
    outlives_node: bool,
}

/// A part of the topics.
#[derive(Default)]
struct Shard {
    inner: Mutex<Inner>,
    /// Rung when something is put in the feed.
    news: Notify,
}

#[derive(Default)]
struct Inner {
    crowds: HashMap<TopicKey, Crowd>,
    /// The highest revision of any topic that was forgotten: where one that comes back goes on, so that its revisions
    /// never repeat.
    floor: u64,
    feed: Feed,
}

impl Default for MemoryPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryPresence {
    /// Nobody is anywhere.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// As [`MemoryPresence::new`], with a clock of one's own.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            index: Index::default(),
            seats: AtomicUsize::new(0),
            told: names::members(),
            leases: RwLock::default(),
            clock,
            life: Arc::from(SessionId::generate().as_str()),
            outlives_node: false,
        }
    }

    /// For several nodes of one process, each of which may end before the others.
    pub fn shared(clock: Arc<dyn Clock>) -> Self {
        Self { outlives_node: true, told: Gauge::noop(), ..Self::with_clock(clock) }
    }

    fn shard(&self, topic: &TopicKey) -> &Shard {
        &self.shards[usize::from(self.shard_of(topic))]
    }

    /// What is told of one step in `topic`.
    fn change(&self, topic: &TopicKey, step: Step) -> Change {
        let Step { rev, prev, count, what, telling } = step;
        let (topic, life, at) = (topic.clone(), Arc::clone(&self.life), self.clock.now());
        Change { topic, life, rev, prev, count, at, what, telling }
    }

    /// A holder that enters somewhere before its first sign of life is alive.
    fn keep_alive(&self, holder: &Holder, lease: Duration) {
        if !self.leases.read().contains_key(holder) {
            self.leases.write().entry(holder.clone()).or_insert_with(|| Instant::now() + lease);
        }
    }

    fn take_seat(&self, enter: &Enter) -> Result<(), Error> {
        let topics_max = enter.limits.topics_per_session_max;
        if self.index.topics_of_session(&enter.topic.tenant, &enter.session).len() >= topics_max {
            return Err(Error::TooManyTopics { topics_max });
        }
        let room = |seats: usize| (seats < enter.limits.members_max).then_some(seats + 1);
        match self.seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => {
                self.told.increment(1);
                Ok(())
            }
            Err(_) => Err(Error::Full),
        }
    }

    /// Takes the seats that `whom` names out of a topic, and says how many they were. A topic without members is
    /// forgotten.
    fn unseat(&self, topic: &TopicKey, whom: &Unseat<'_>) -> (Done, usize) {
        let shard = self.shard(topic);
        let mut inner = shard.inner.lock();
        let Inner { crowds, floor, feed } = &mut *inner;
        let mut done = Done { rev: *floor, changed: false, position: 0 };
        let Some(crowd) = crowds.get_mut(topic) else { return (done, 0) };
        done.rev = crowd.rev();
        let removed = crowd.unseat(topic, whom, &self.index, &mut |step| done.is(feed, self.change(topic, step)));
        self.seats.fetch_sub(removed, Ordering::Relaxed);
        self.told.decrement(removed as f64);
        if crowd.is_empty() {
            *floor = crowd.rev().max(*floor);
            crowds.remove(topic);
            if crowds.is_empty() {
                crowds.shrink_to_fit();
            }
        }
        drop(inner);
        (done.told(&shard.news), removed)
    }
}

impl Done {
    /// It comes to this change, which goes to the feed.
    fn is(&mut self, feed: &mut Feed, change: Change) {
        self.rev = change.rev;
        self.changed = true;
        self.position = feed.push(change);
    }

    /// Tells who waits for the feed.
    fn told(self, news: &Notify) -> Self {
        if self.changed {
            news.notify_waiters();
        }
        self
    }
}

#[async_trait]
impl Presence for MemoryPresence {
    fn outlives_node(&self) -> bool {
        self.outlives_node
    }

    fn shards(&self) -> u16 {
        u16::try_from(SHARDS).expect("they are few")
    }

    async fn enter(&self, enter: Enter) -> Result<Done, Error> {
        self.keep_alive(&enter.holder, enter.limits.lease);
        let shard = self.shard(&enter.topic);
        let mut inner = shard.inner.lock();
        let Inner { crowds, floor, feed } = &mut *inner;
        let known = crowds.get(&enter.topic).is_some_and(|crowd| crowd.has(&enter.session));
        let id = enter.member_id()?;
        if !known {
            if feed.len() >= enter.limits.waiting_max {
                return Err(Error::Full);
            }
            self.take_seat(&enter)?;
        }
        let crowd = crowds.entry(enter.topic.clone()).or_insert_with(|| Crowd::new(Arc::clone(&enter.policy), *floor));
        let mut done = Done { rev: crowd.rev(), changed: false, position: 0 };
        let is_first = !known && self.index.seated(&enter);
        crowd.enter(&enter, id, is_first, &mut |step| done.is(feed, self.change(&enter.topic, step)));
        drop(inner);
        Ok(done.told(&shard.news))
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        let shard = self.shard(topic);
        let mut inner = shard.inner.lock();
        let Inner { crowds, feed, .. } = &mut *inner;
        let crowd = crowds.get_mut(topic).ok_or(Error::NotMember)?;
        let mut done = Done { rev: crowd.rev(), changed: false, position: 0 };
        crowd.update(session, change, &mut |step| done.is(feed, self.change(topic, step)))?;
        drop(inner);
        Ok(done.told(&shard.news))
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        Ok(self.unseat(topic, &Unseat::Session(session, holder)).0)
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        let inner = self.shard(topic).inner.lock();
        Ok(match inner.crowds.get(topic) {
            Some(crowd) => crowd.page(after, limit, bytes_max),
            None => Members { rev: inner.floor, ..Members::default() },
        })
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        let of = |topic| self.shard(topic).inner.lock().crowds.get(topic).map(Crowd::occupancy).unwrap_or_default();
        Ok(topics.iter().map(of).collect())
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        Ok(self.index.topics_of_user(tenant, user))
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        let mut topics = self.index.topics_of_session(tenant, session);
        topics.retain(|topic| {
            let topic = TopicKey::new(tenant.clone(), topic.clone());
            let inner = self.shard(&topic).inner.lock();
            inner.crowds.get(&topic).is_some_and(|crowd| crowd.is_held(session, holder))
        });
        topics.sort();
        Ok(topics)
    }

    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error> {
        let mut topics = self.index.topics_of_session(tenant, session);
        topics.sort();
        let adopt = |topic: Topic| {
            let key = TopicKey::new(tenant.clone(), topic);
            let mut inner = self.shard(&key).inner.lock();
            let member = inner.crowds.get_mut(&key)?.adopt(session, holder)?;
            Some((key.topic, member))
        };
        Ok(topics.into_iter().filter_map(adopt).collect())
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let topics = self.index.topics_of_user(tenant, user).into_iter();
        let removed = topics.map(|topic| self.unseat(&TopicKey::new(tenant.clone(), topic), &Unseat::User(user)).1);
        Ok(removed.filter(|removed| *removed > 0).count())
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        let now = Instant::now();
        let before = self.leases.write().insert(holder.clone(), now + lease);
        Ok(before.is_some_and(|until| until > now))
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
        let now = Instant::now();
        let mut dead = Vec::new();
        self.leases.write().retain(|each, until| {
            let alive = each == holder || *until > now;
            if !alive {
                dead.push(each.clone());
            }
            alive
        });
        if dead.is_empty() {
            return Ok(0);
        }
        let mut reaped = 0;
        for shard in &self.shards {
            let topics: Vec<TopicKey> = shard.inner.lock().crowds.keys().cloned().collect();
            for topic in topics {
                reaped += self.unseat(&topic, &Unseat::HeldBy(&dead)).1;
            }
        }
        Ok(reaped)
    }

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        let Some(shard) = self.shards.get(usize::from(shard)) else { return Ok(Vec::new()) };
        let until = Instant::now() + wait;
        loop {
            let news = shard.news.notified();
            let changes = shard.inner.lock().feed.after(after, limit);
            if !changes.is_empty() || tokio::time::timeout_at(until, news).await.is_err() {
                return Ok(changes);
            }
        }
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        let shard = self.shards.get(usize::from(shard));
        Ok(shard.is_some_and(|shard| shard.inner.lock().feed.forget(fence, upto)))
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        let shard = self.shards.get(usize::from(shard));
        Ok(shard.map_or(0, |shard| shard.inner.lock().feed.fed()))
    }
}
