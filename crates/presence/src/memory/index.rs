//! Where each session and each user is.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};

use fanfare_model::{SessionId, Tenant, Topic, UserId};
use parking_lot::{Mutex, MutexGuard};

use super::SHARDS;
use crate::engine::Enter;

/// Kept under the lock of the topic's crowd, so that it says the same as that does.
#[derive(Default)]
pub(super) struct Index {
    sessions: Table<SessionId, Vec<Topic>>,
    /// With the number of the user's sessions there.
    users: Table<UserId, BTreeMap<Topic, u32>>,
}

impl Index {
    /// The session has a seat in the topic now. Says whether it is the first of its user there.
    pub(super) fn seated(&self, enter: &Enter) -> bool {
        let (tenant, topic) = (&enter.topic.tenant, &enter.topic.topic);
        self.sessions.shard(&enter.session).entry(key(tenant, &enter.session)).or_default().push(topic.clone());
        let Some(user) = &enter.user else { return false };
        let mut users = self.users.shard(user);
        let seats = users.entry(key(tenant, user)).or_default().entry(topic.clone()).or_default();
        *seats += 1;
        *seats == 1
    }

    /// The session has no seat in the topic any more. Says whether it was the last of its user there.
    pub(super) fn unseated(&self, tenant: &Tenant, topic: &Topic, session: &SessionId, user: Option<&UserId>) -> bool {
        let mut sessions = self.sessions.shard(session);
        if let Some(topics) = sessions.get_mut(&key(tenant, session)) {
            topics.retain(|known| known != topic);
            if topics.is_empty() {
                sessions.remove(&key(tenant, session));
            }
        }
        drop(sessions);
        let Some(user) = user else { return false };
        let mut users = self.users.shard(user);
        let Some(topics) = users.get_mut(&key(tenant, user)) else { return false };
        let last = match topics.get_mut(topic) {
            Some(seats) if *seats > 1 => {
                *seats -= 1;
                false
            }
            _ => topics.remove(topic).is_some(),
        };
        if topics.is_empty() {
            users.remove(&key(tenant, user));
        }
        last
    }

    pub(super) fn topics_of_session(&self, tenant: &Tenant, session: &SessionId) -> Vec<Topic> {
        self.sessions.shard(session).get(&key(tenant, session)).cloned().unwrap_or_default()
    }

    pub(super) fn topics_of_user(&self, tenant: &Tenant, user: &UserId) -> Vec<Topic> {
        let users = self.users.shard(user);
        users.get(&key(tenant, user)).map(|topics| topics.keys().cloned().collect()).unwrap_or_default()
    }
}

fn key<N: Clone>(tenant: &Tenant, name: &N) -> (Tenant, N) {
    (tenant.clone(), name.clone())
}

/// By tenant and name, in parts with a lock each.
struct Table<N, V> {
    shards: [Mutex<HashMap<(Tenant, N), V>>; SHARDS],
    hasher: RandomState,
}

impl<N, V> Default for Table<N, V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl<N: Hash + Eq, V> Table<N, V> {
    fn shard(&self, name: &N) -> MutexGuard<'_, HashMap<(Tenant, N), V>> {
        let hash = self.hasher.hash_one(name);
        #[expect(clippy::cast_possible_truncation, reason = "only a choice of one of a few")]
        self.shards[hash as usize % SHARDS].lock()
    }
}
