//! The engine of one node: members in memory.
//!
//! Several holders can share it, so that it keeps the whole contract; in one process there is one.

mod crowd;
mod index;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::engine::{Change, Done, Edit, Enter, Hear, Holder, Presence};
use crate::error::Error;
use crate::member::{Members, Occupancy};
use crowd::{Crowd, Unseat};
use index::Index;

/// So many locks: changes of topics of different shards do not wait for each other.
const SHARDS: usize = 16;

/// Who is where, as long as the process lives.
#[derive(Default)]
pub struct MemoryPresence {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    index: Index,
    seats: AtomicUsize,
    leases: RwLock<HashMap<Holder, Instant>>,
    hear: OnceLock<Weak<dyn Hear>>,
}

/// A part of the topics.
#[derive(Default)]
struct Shard {
    crowds: HashMap<TopicKey, Crowd>,
    /// The highest revision of any topic that was forgotten: where one that comes back goes on, so that its revisions
    /// never repeat.
    floor: u64,
}

impl MemoryPresence {
    /// Nobody is anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    fn shard(&self, topic: &TopicKey) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(topic);
        #[expect(clippy::cast_possible_truncation, reason = "only a choice of one of a few")]
        &self.shards[hash as usize % SHARDS]
    }

    fn tell(&self, change: &Change) {
        if let Some(hear) = self.hear.get().and_then(Weak::upgrade) {
            hear.changed(change);
        }
    }

    fn enter_now(&self, enter: &Enter) -> Result<Done, Error> {
        self.keep_alive(&enter.holder, enter.limits.lease);
        let mut shard = self.shard(&enter.topic).lock();
        let Shard { crowds, floor } = &mut *shard;
        let known = crowds.get(&enter.topic).is_some_and(|crowd| crowd.has(&enter.session));
        let id = crowd::member_id(enter)?;
        if !known {
            self.take_seat(enter)?;
        }
        let crowd = crowds
            .entry(enter.topic.clone())
            .or_insert_with(|| Crowd::new(enter.topic.clone(), Arc::clone(&enter.policy), *floor));
        let (before, is_first) = (crowd.rev(), !known && self.index.seated(enter));
        crowd.enter(enter, &id, is_first, &mut |change| self.tell(change));
        Ok(Done { rev: crowd.rev(), changed: crowd.rev() != before })
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
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Full),
        }
    }

    /// Takes the seats that `whom` names out of a topic, and says how many they were. A topic without members is
    /// forgotten.
    fn unseat(&self, topic: &TopicKey, whom: &Unseat<'_>, account: &Holder) -> (Done, usize) {
        let mut shard = self.shard(topic).lock();
        let Shard { crowds, floor } = &mut *shard;
        let Some(crowd) = crowds.get_mut(topic) else { return (Done { rev: *floor, changed: false }, 0) };
        let before = crowd.rev();
        let removed = crowd.unseat(whom, account, &self.index, &mut |change| self.tell(change));
        self.seats.fetch_sub(removed, Ordering::Relaxed);
        let rev = crowd.rev();
        if crowd.is_empty() {
            *floor = rev.max(*floor);
            crowds.remove(topic);
            if crowds.is_empty() {
                crowds.shrink_to_fit();
            }
        }
        (Done { rev, changed: rev != before }, removed)
    }

    fn members_now(&self, topic: &TopicKey, after: Option<&str>, limit: usize, bytes_max: usize) -> Members {
        let shard = self.shard(topic).lock();
        match shard.crowds.get(topic) {
            Some(crowd) => crowd.page(after, limit, bytes_max),
            None => Members { rev: shard.floor, ..Members::default() },
        }
    }

    fn reap_now(&self, account: &Holder) -> usize {
        let now = Instant::now();
        let mut dead = Vec::new();
        self.leases.write().retain(|holder, until| {
            let alive = holder == account || *until > now;
            if !alive {
                dead.push(holder.clone());
            }
            alive
        });
        if dead.is_empty() {
            return 0;
        }
        let mut reaped = 0;
        for shard in &self.shards {
            let topics: Vec<TopicKey> = shard.lock().crowds.keys().cloned().collect();
            for topic in topics {
                reaped += self.unseat(&topic, &Unseat::HeldBy(&dead), account).1;
            }
        }
        reaped
    }
}

impl Presence for MemoryPresence {
    fn connect(&self, hear: Weak<dyn Hear>) {
        let connected = self.hear.set(hear).is_ok();
        debug_assert!(connected, "an engine has one listener");
    }

    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, Error>> {
        async move { self.enter_now(&enter) }.boxed()
    }

    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        async move {
            let mut shard = self.shard(topic).lock();
            let crowd = shard.crowds.get_mut(topic).ok_or(Error::NotMember)?;
            let before = crowd.rev();
            crowd.update(session, change, &mut |change| self.tell(change))?;
            Ok(Done { rev: crowd.rev(), changed: crowd.rev() != before })
        }
        .boxed()
    }

    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        async move { Ok(self.unseat(topic, &Unseat::Session(session, holder), holder).0) }.boxed()
    }

    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, Error>> {
        async move { Ok(self.members_now(topic, after, limit, bytes_max)) }.boxed()
    }

    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, Error>> {
        let of = |topic| self.shard(topic).lock().crowds.get(topic).map(Crowd::occupancy).unwrap_or_default();
        async move { Ok(topics.iter().map(of).collect()) }.boxed()
    }

    fn topics_of<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        async move { Ok(self.index.topics_of_user(tenant, user)) }.boxed()
    }

    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        async move {
            let mut topics = self.index.topics_of_session(tenant, session);
            topics.retain(|topic| {
                let topic = TopicKey::new(tenant.clone(), topic.clone());
                let shard = self.shard(&topic).lock();
                shard.crowds.get(&topic).is_some_and(|crowd| crowd.is_held(session, holder))
            });
            topics.sort();
            Ok(topics)
        }
        .boxed()
    }

    fn remove_user<'a>(
        &'a self,
        tenant: &'a Tenant,
        user: &'a UserId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<usize, Error>> {
        async move {
            let topics = self.index.topics_of_user(tenant, user).into_iter();
            let removed =
                topics.map(|topic| self.unseat(&TopicKey::new(tenant.clone(), topic), &Unseat::User(user), holder).1);
            Ok(removed.filter(|removed| *removed > 0).count())
        }
        .boxed()
    }

    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            self.leases.write().insert(holder.clone(), Instant::now() + lease);
            Ok(())
        }
        .boxed()
    }

    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, Error>> {
        async move { Ok(self.reap_now(holder)) }.boxed()
    }
}
