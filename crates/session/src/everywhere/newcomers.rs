//! Sessions that take the place of others, which may be on another node: one that goes on with an earlier connection's
//! session, and, by policy, a user's new one.
//!
//! Nodes tell each other of such newcomers. It is sent and not answered: if it is lost, as when the engine fails in that
//! moment, the earlier one stays until its connection is found dead, or as long as it likes.

use std::cmp::Ordering;

use fanfare_cluster::Handle as Cluster;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{SessionId, Tenant, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Receiver};

use crate::registry::{Registry, SessionInfo};

/// The kind of what is told.
const NEWCOMERS: &str = "sessions/newcomers";
/// How many may wait to be told of: those of a storm of reconnects, in the moment that it takes to send a batch. Of one
/// beyond it the others do not hear.
const WAITING_MAX: usize = 8192;
/// How many are told of at once.
const BATCH_MAX: usize = 256;

/// A session that takes the place of earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Newcomer {
    tenant: Tenant,
    session: SessionId,
    /// All of whose other sessions are to end.
    user: Option<UserId>,
    /// Of two, the one that came later stays.
    at: Timestamp,
}

impl Newcomer {
    /// The session with `info`, if it goes on with an earlier one, or is to be the only one of its user.
    pub(crate) fn of(info: &SessionInfo, resumes: bool, single_per_user: bool) -> Option<Self> {
        let user = info.user.clone().filter(|_| single_per_user);
        let takes_place = resumes || user.is_some();
        takes_place.then(|| Self { tenant: info.tenant.clone(), session: info.id.clone(), user, at: info.connected_at })
    }

    /// Whether the session with `info` is to make place for this one (`Less`), or the other way round; `None` if both may
    /// stay.
    pub(crate) fn against(&self, info: &SessionInfo) -> Option<Ordering> {
        let same = info.id == self.session || self.user.is_some() && info.user == self.user;
        let concerns = info.tenant == self.tenant && same;
        concerns.then(|| (info.connected_at, &info.id).cmp(&(self.at, &self.session)))
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    pub(crate) fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }
}

/// Begins to tell the other nodes of newcomers and to listen for theirs; again, nothing, and `false`.
pub(super) fn start(sessions: &Registry, cluster: &Cluster, life: &Lifecycle) -> bool {
    let (sender, newcomers) = mpsc::channel(WAITING_MAX);
    if !sessions.tell_newcomers_to(sender) {
        return false;
    }
    let listening = sessions.clone();
    cluster.on(NEWCOMERS, move |newcomers: Vec<Newcomer>| {
        for newcomer in &newcomers {
            listening.make_place_for(newcomer);
        }
        std::future::ready(())
    });
    let (cluster, stop) = (cluster.clone(), life.hard().clone());
    life.spawn(TaskKind::Critical, "tell of newcomers", async move {
        tokio::select! {
            () = tell(newcomers, &cluster) => {}
            () = stop.cancelled() => {}
        }
    });
    true
}

async fn tell(mut newcomers: Receiver<Newcomer>, cluster: &Cluster) {
    let mut batch = Vec::new();
    while newcomers.recv_many(&mut batch, BATCH_MAX).await > 0 {
        cluster.tell_others(NEWCOMERS, &batch).await;
        batch.clear();
    }
    // The registry has the sender, and lives as long as the process.
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn info(id: &str, user: &str, at: i64) -> SessionInfo {
        SessionInfo {
            id: SessionId::new(id).unwrap(),
            tenant: Tenant::default(),
            user: Some(UserId::new(user).unwrap()),
            protocol: Protocol::WebSocket,
            connected_at: Timestamp::from_seconds(at),
            expires_at: None,
            address: None,
            client: Some("web".into()),
        }
    }

    #[test]
    fn of_two_the_later_one_stays() {
        let (a, b) = (info("a", "alice", 1), info("b", "alice", 2));
        assert_eq!(Newcomer::of(&a, false, false), None);
        let (first, second) = (Newcomer::of(&a, false, true).unwrap(), Newcomer::of(&b, false, true).unwrap());
        assert_eq!((second.against(&a), first.against(&b)), (Some(Ordering::Less), Some(Ordering::Greater)));
        assert_eq!(second.against(&info("c", "bob", 1)), None);
        // At the same moment, still exactly one.
        let b = info("b", "alice", 1);
        let second = Newcomer::of(&b, false, true).unwrap();
        assert_eq!((second.against(&a), first.against(&b)), (Some(Ordering::Less), Some(Ordering::Greater)));
    }

    #[test]
    fn one_that_goes_on_replaces_its_own_past_only() {
        let resumed = Newcomer::of(&info("a", "alice", 2), true, false).unwrap();
        assert_eq!(resumed.against(&info("a", "alice", 1)), Some(Ordering::Less));
        assert_eq!(resumed.against(&info("b", "alice", 1)), None);
        let other = SessionInfo { tenant: Tenant::new("other").unwrap(), ..info("a", "alice", 1) };
        assert_eq!(resumed.against(&other), None);
    }
}
