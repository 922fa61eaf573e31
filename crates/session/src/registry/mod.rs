//! Every session of this node, and the one place that ends or reminds them.
//!
//! A connection owns no timer. One task per node ticks ten times a second and ends what has expired; one per worker
//! visits a slice of that worker's sessions, so that each is reminded to ping once per interval. Draining, revocation
//! and administrators go the same way: a session only waits for its next [`Nudge`].

mod bell;
mod newcomers;
mod orders;
mod session;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bell::Bell;
use fanfare_auth::Principal;
use fanfare_model::{Clock, Kind, SessionId, Tenant, Timestamp, Topic, UserId};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use slab::Slab;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

pub use session::Session;

use crate::everywhere::Newcomer;
use crate::quota::Permit;
use crate::{From, Goodbye, Options, metrics as names};

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Server-Sent Events.
    Sse,
    /// Lines of JSON over HTTP, and long polls.
    JsonLines,
    /// WebSocket, our own protocol.
    WebSocket,
    /// gRPC, and gRPC-Web.
    Grpc,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 4] = [Self::Sse, Self::JsonLines, Self::WebSocket, Self::Grpc];

    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::JsonLines => "ndjson",
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
        }
    }
}

/// What is known of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Whose topics it can see.
    pub tenant: Tenant,
    /// Its user, if it has one.
    pub user: Option<UserId>,
    /// What it speaks.
    pub protocol: Protocol,
    /// When it came.
    pub connected_at: Timestamp,
    /// When its credentials end.
    pub expires_at: Option<Timestamp>,
    /// The client's address as the server sees it.
    pub address: Option<std::net::IpAddr>,
    /// How the client names itself: the `User-Agent`, or what it said when it connected.
    pub client: Option<Arc<str>>,
}

/// Something a session must react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nudge {
    /// It is time to ping (or to send a heartbeat).
    Ping,
    /// Its credentials end soon ([`Options::expiry_warning`]): tell the client.
    Expiring,
    /// It is time for a new resume token: [`crate::access::seal`].
    Renew,
    /// The application wants something of it: [`Session::take_orders`].
    Orders,
    /// It is over.
    End(Goodbye),
}

/// Something that the application wants of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Receive a topic, on the application's authority.
    Subscribe {
        /// Which topic.
        topic: Topic,
        /// From where.
        from: From,
    },
    /// Receive a topic no more.
    Unsubscribe {
        /// Which topic.
        topic: Topic,
    },
}

/// Whose sessions are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// One session of a tenant.
    Session(Tenant, SessionId),
    /// Every session of a user.
    User(Tenant, UserId),
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// The node has as many sessions as it may have.
    #[error("this node has too many sessions")]
    OnNode,
    /// The user has as many sessions as they may have.
    #[error("this user has too many sessions")]
    OfUser,
    /// The node is stopping and takes no new ones.
    #[error("this node is stopping")]
    Draining,
}

impl TooMany {
    /// What the caller can do.
    pub fn kind(self) -> Kind {
        match self {
            Self::OnNode => Kind::Overloaded,
            Self::OfUser => Kind::Limited,
            Self::Draining => Kind::Unavailable,
        }
    }
}

/// Which sessions to list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Query {
    /// Whose.
    pub tenant: Tenant,
    /// Only of this user.
    pub user: Option<UserId>,
    /// Only after this one: where the last page ended.
    pub after: Option<SessionId>,
    /// At most so many.
    pub limit: usize,
}

/// A page of sessions, by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionPage<S = SessionInfo> {
    /// The sessions.
    pub sessions: Vec<S>,
    /// How many there are in all.
    pub total: usize,
    /// Whether there are more after the last.
    pub more: bool,
}

/// Every session of this node. Cheap to clone; each worker has its own, so that it reminds those that live there.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    worker: usize,
}

struct Inner {
    options: Options,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// The last session has left.
    emptied: Notify,
    /// Who is told of sessions that are gone.
    presence: OnceLock<fanfare_presence::Handle>,
    /// Where those are told of that take the place of sessions that may be on other nodes.
    newcomers: OnceLock<Sender<Newcomer>>,
}

#[derive(Default)]
struct Table {
    sessions: Slab<Arc<Entry>>,
    by_id: BTreeMap<SessionId, usize>,
    by_user: HashMap<(Tenant, UserId), Vec<usize>>,
    /// When something is due about a session's credentials: first the warning, then the end.
    expiring: BTreeSet<(Timestamp, usize)>,
    draining: bool,
}

struct Entry {
    worker: usize,
    bell: Bell,
    details: Mutex<Details>,
}

struct Details {
    info: SessionInfo,
    principal: Arc<Principal>,
    /// Its key in [`Table::expiring`].
    due: Option<Timestamp>,
    /// What the application wants of it, in order.
    orders: Vec<Order>,
    /// Its place among the sessions of its user, tenant and address.
    permit: Option<Permit>,
    /// It goes on with another node.
    moved: bool,
}

impl Registry {
    /// An empty registry.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let (table, emptied, presence) = (Mutex::default(), Notify::new(), OnceLock::new());
        let inner = Inner { options, clock, table, emptied, presence, newcomers: OnceLock::new() };
        Self { inner: Arc::new(inner), worker: 0 }
    }

    /// The same registry for another worker.
    #[must_use]
    pub fn on_worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// Takes in a session that lives on this worker. `principal` is watched for expiry and revocation. If an earlier
    /// connection of the same session is still there, this one takes its place and the other ends.
    pub fn register(&self, info: SessionInfo, principal: Arc<Principal>) -> Result<Session, TooMany> {
        let mut guard = self.inner.table.lock();
        self.check_limits(&guard, &info).inspect_err(|limit| {
            let limit = match limit {
                TooMany::OnNode => "node",
                TooMany::OfUser => "user",
                TooMany::Draining => "draining",
            };
            counter!(names::REFUSED, "limit" => limit).increment(1);
        })?;
        let protocol = info.protocol;
        let table = &mut *guard;
        let key = table.sessions.vacant_key();
        if let Some(earlier) = table.by_id.insert(info.id.clone(), key) {
            table.sessions[earlier].bell.end(Goodbye::Replaced);
        }
        if let Some(user) = &info.user {
            let of_user = table.by_user.entry((info.tenant.clone(), user.clone())).or_default();
            if self.inner.options.single_per_user {
                for earlier in of_user.iter() {
                    table.sessions[*earlier].bell.end(Goodbye::Replaced);
                }
            }
            of_user.push(key);
        }
        self.tell_of(&info, principal.resumes.is_some());
        let due = self.due(info.expires_at);
        table.expiring.extend(due.map(|at| (at, key)));
        let details = Details { info, principal, due, orders: Vec::new(), permit: None, moved: false };
        let entry = Arc::new(Entry { worker: self.worker, bell: Bell::default(), details: Mutex::new(details) });
        table.sessions.insert(Arc::clone(&entry));
        drop(guard);
        gauge!(names::SESSIONS, "protocol" => protocol.as_str()).increment(1);
        counter!(names::OPENED, "protocol" => protocol.as_str()).increment(1);
        Ok(Session::new(self.clone(), key, entry, protocol))
    }

    /// Whether there are sessions that one with `info` is going to take the place of.
    pub(crate) fn has_room_to_make(&self, info: &SessionInfo) -> bool {
        let table = self.inner.table.lock();
        self.replaced_by(&table, info).next().is_some()
    }

    /// Gives back the places of the sessions that one with `info` is going to take the place of, so that it finds room.
    pub(crate) fn make_room_for(&self, info: &SessionInfo) {
        let table = self.inner.table.lock();
        for key in self.replaced_by(&table, info) {
            table.sessions[key].details.lock().permit = None;
        }
    }

    fn replaced_by<'a>(&self, table: &'a Table, info: &SessionInfo) -> impl Iterator<Item = usize> + use<'a> {
        let same = table.by_id.get(&info.id);
        let user = info.user.as_ref().filter(|_| self.inner.options.single_per_user);
        let others = user.and_then(|user| table.by_user.get(&(info.tenant.clone(), user.clone())));
        same.into_iter().chain(others.into_iter().flatten()).copied()
    }

    fn check_limits(&self, table: &Table, info: &SessionInfo) -> Result<(), TooMany> {
        if table.draining {
            return Err(TooMany::Draining);
        }
        // Who takes the place of an earlier connection, or of the user's others, makes the sessions no more for long.
        if table.by_id.contains_key(&info.id) {
            return Ok(());
        }
        if table.sessions.len() >= self.inner.options.sessions_max {
            return Err(TooMany::OnNode);
        }
        if self.inner.options.single_per_user {
            return Ok(());
        }
        let of_user = info.user.as_ref().and_then(|user| table.by_user.get(&(info.tenant.clone(), user.clone())));
        if of_user.is_some_and(|keys| keys.len() >= self.inner.options.sessions_per_user_max) {
            return Err(TooMany::OfUser);
        }
        Ok(())
    }

    /// How many sessions there are on this node.
    pub fn len(&self) -> usize {
        self.inner.table.lock().sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there are none.
    pub async fn emptied(&self) {
        loop {
            // Before looking, so that a session that leaves in between is noticed.
            let emptied = self.inner.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Lists the sessions of a tenant.
    pub fn list(&self, query: &Query) -> SessionPage {
        let table = self.inner.table.lock();
        let mut page = SessionPage { sessions: Vec::new(), total: 0, more: false };
        for key in table.by_id.values() {
            let details = table.sessions[*key].details.lock();
            let info = &details.info;
            if info.tenant != query.tenant || query.user.is_some() && info.user != query.user {
                continue;
            }
            page.total += 1;
            if query.after.as_ref().is_some_and(|after| info.id <= *after) {
                continue;
            }
            if page.sessions.len() < query.limit {
                page.sessions.push(info.clone());
            } else {
                page.more = true;
            }
        }
        page
    }

    /// Ends one session of a tenant. Says whether there was one.
    pub fn disconnect(&self, tenant: &Tenant, id: &SessionId) -> bool {
        let table = self.inner.table.lock();
        let Some(entry) = table.by_id.get(id).map(|key| &table.sessions[*key]) else { return false };
        let ours = entry.details.lock().info.tenant == *tenant;
        if ours {
            entry.bell.end(Goodbye::Disconnected);
        }
        ours
    }

    /// Ends every session of a user. Says how many.
    pub fn disconnect_user(&self, tenant: &Tenant, user: &UserId) -> usize {
        let table = self.inner.table.lock();
        let keys = table.by_user.get(&(tenant.clone(), user.clone())).map_or(&[][..], Vec::as_slice);
        for key in keys {
            table.sessions[*key].bell.end(Goodbye::Disconnected);
        }
        keys.len()
    }

    /// When something is first due about credentials that end at `expires_at`: the warning, if it lies ahead.
    fn due(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let (at, warning) = (expires_at?, self.inner.options.expiry_warning.get());
        let ahead = at.since(self.inner.clock.now()) > warning && !warning.is_zero();
        Some(if ahead { at.minus(warning) } else { at })
    }

    /// Over how long sessions are sent away when the node stops.
    pub fn drain_window(&self) -> Duration {
        self.inner.options.drain_window.get()
    }
}

#[cfg(test)]
mod tests;
