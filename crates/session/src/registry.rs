//! Every session of this node, and the one place that ends or reminds them.
//!
//! A connection owns no timer. One task per node ticks once a second: it ends what has expired, and visits a
//! slice of the sessions so that each is reminded to ping once per interval. Draining, revocation and
//! administrators go the same way: a session only waits for its next [`Nudge`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use fanfare_auth::{Auth, Principal};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Kind, SessionId, Tenant, Timestamp, UserId};
use futures_util::task::AtomicWaker;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use slab::Slab;

use crate::{Goodbye, Options, metrics as names};

/// How often the registry looks for what is due. Expiry may come this much before the token's `exp`, never after.
const TICK: Duration = Duration::from_secs(1);

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Server-Sent Events.
    Sse,
    /// Lines of JSON over HTTP, and long polls.
    JsonLines,
    /// WebSocket, our own protocol.
    WebSocket,
}

impl Protocol {
    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::JsonLines => "ndjson",
            Self::WebSocket => "websocket",
        }
    }
}

/// What is known of a session.
#[derive(Debug, Clone)]
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
    /// It is over.
    End(Goodbye),
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
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionInfo>,
    /// How many there are in all.
    pub total: usize,
    /// Whether there are more after the last.
    pub more: bool,
}

/// Every session of this node. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: Slab<Arc<Entry>>,
    by_id: BTreeMap<SessionId, usize>,
    by_user: HashMap<(Tenant, UserId), Vec<usize>>,
    expiring: BTreeSet<(Timestamp, usize)>,
    draining: bool,
}

struct Entry {
    bell: Bell,
    details: Mutex<Details>,
}

struct Details {
    info: SessionInfo,
    principal: Arc<Principal>,
}

/// Holds at most one of each nudge for a session.
#[derive(Default)]
struct Bell {
    /// 0: nothing; 1: ping; 2 + index in [`Goodbye::ALL`]: end.
    rung: AtomicU8,
    waker: AtomicWaker,
}

const PING: u8 = 1;
const END: u8 = 2;

impl Bell {
    fn ping(&self) {
        // An end is never overwritten by a ping.
        if self.rung.compare_exchange(0, PING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
        }
    }

    fn end(&self, goodbye: Goodbye) {
        let index = Goodbye::ALL.iter().position(|g| *g == goodbye).unwrap_or(0);
        let ends = u8::try_from(index).unwrap_or(0) + END;
        let first = self.rung.fetch_update(Ordering::AcqRel, Ordering::Acquire, |rung| (rung < END).then_some(ends));
        if first.is_ok() {
            counter!(names::ENDED, "reason" => goodbye.reason()).increment(1);
            self.waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Nudge> {
        self.waker.register(cx.waker());
        match self.rung.load(Ordering::Acquire) {
            0 => Poll::Pending,
            PING => {
                // Loses against an end that comes in between, which is then seen by the next poll.
                let cleared = self.rung.compare_exchange(PING, 0, Ordering::AcqRel, Ordering::Acquire);
                if cleared.is_err() { self.poll(cx) } else { Poll::Ready(Nudge::Ping) }
            }
            ends => {
                let goodbye = Goodbye::ALL.get(usize::from(ends - END)).copied().unwrap_or(Goodbye::Internal);
                Poll::Ready(Nudge::End(goodbye))
            }
        }
    }
}

/// A session's place in the registry; it leaves when this is dropped.
pub struct Session {
    registry: Registry,
    key: usize,
    entry: Arc<Entry>,
    protocol: Protocol,
}

impl Registry {
    /// An empty registry.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { options, clock, table: Mutex::default() }) }
    }

    /// Takes in a session. `principal` is watched for expiry and revocation.
    pub fn register(&self, info: SessionInfo, principal: Arc<Principal>) -> Result<Session, TooMany> {
        let mut table = self.inner.table.lock();
        self.check_limits(&table, &info).inspect_err(|limit| {
            let limit = match limit {
                TooMany::OnNode => "node",
                TooMany::OfUser => "user",
                TooMany::Draining => "draining",
            };
            counter!(names::REFUSED, "limit" => limit).increment(1);
        })?;
        let protocol = info.protocol;
        let key = table.sessions.vacant_key();
        table.by_id.insert(info.id.clone(), key);
        if let Some(user) = &info.user {
            table.by_user.entry((info.tenant.clone(), user.clone())).or_default().push(key);
        }
        if let Some(at) = info.expires_at {
            table.expiring.insert((at, key));
        }
        let entry = Arc::new(Entry { bell: Bell::default(), details: Mutex::new(Details { info, principal }) });
        table.sessions.insert(Arc::clone(&entry));
        drop(table);
        gauge!(names::SESSIONS, "protocol" => protocol.as_str()).increment(1);
        counter!(names::OPENED, "protocol" => protocol.as_str()).increment(1);
        Ok(Session { registry: self.clone(), key, entry, protocol })
    }

    fn check_limits(&self, table: &Table, info: &SessionInfo) -> Result<(), TooMany> {
        if table.draining {
            return Err(TooMany::Draining);
        }
        if table.sessions.len() >= self.inner.options.sessions_max {
            return Err(TooMany::OnNode);
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

    /// Starts the task that ends and reminds sessions. Call once per node.
    pub fn start(&self, life: &Lifecycle, auth: &Auth) {
        let (registry, stop, mut revocations) = (self.clone(), life.hard().clone(), auth.revocations());
        let drain = life.soft().clone();
        life.spawn(TaskKind::Critical, "watch sessions", async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut ticks = 0_usize;
            loop {
                tokio::select! {
                    _ = tick.tick() => {
                        registry.end_expired();
                        registry.remind(ticks);
                        ticks += 1;
                    }
                    () = revocations.changed() => registry.end_revoked(&revocations),
                    () = drain.cancelled() => break,
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = registry.drain() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn end_expired(&self) {
        let due = self.inner.clock.now().plus(TICK);
        let mut table = self.inner.table.lock();
        while let Some((at, key)) = table.expiring.first().copied() {
            if at > due {
                return;
            }
            table.expiring.pop_first();
            table.sessions[key].bell.end(Goodbye::Expired);
        }
    }

    fn end_revoked(&self, revocations: &fanfare_auth::Revocations) {
        for (_, entry) in &self.inner.table.lock().sessions {
            if revocations.is_revoked(&entry.details.lock().principal) {
                entry.bell.end(Goodbye::Revoked);
            }
        }
    }

    /// Visits the slice of sessions whose turn it is: each once per ping interval.
    fn remind(&self, ticks: usize) {
        let every = usize::try_from(self.inner.options.ping_interval.get().as_secs()).unwrap_or(usize::MAX);
        let table = self.inner.table.lock();
        let slots = table.sessions.capacity();
        if every > 0 {
            for key in (ticks % every..slots).step_by(every) {
                if let Some(entry) = table.sessions.get(key) {
                    entry.bell.ping();
                }
            }
        }
        self.end_aged(&table, ticks);
    }

    /// Ends sessions that are old enough: each at its own moment between 80 and 100 % of the age.
    fn end_aged(&self, table: &Table, ticks: usize) {
        /// Each session's age is looked at once in so many ticks.
        const EVERY: usize = 8;
        let age_max = self.inner.options.age_max.get();
        if age_max.is_zero() {
            return;
        }
        let now = self.inner.clock.now();
        for key in (ticks % EVERY..table.sessions.capacity()).step_by(EVERY) {
            let Some(entry) = table.sessions.get(key) else { continue };
            let age = now.since(entry.details.lock().info.connected_at);
            // The slot stands in for a random number that would have to be kept.
            let share = 80 + u32::try_from(key.wrapping_mul(7919) % 21).unwrap_or(0);
            if age >= age_max * share / 100 {
                entry.bell.end(Goodbye::Aged);
            }
        }
    }

    /// Sends every session away, in random order, spread evenly over the drain window.
    async fn drain(&self) {
        /// How often a few are sent away.
        const STEP: Duration = Duration::from_millis(50);
        let mut waiting: Vec<_> = {
            let mut table = self.inner.table.lock();
            table.draining = true;
            table.sessions.iter().map(|(_, entry)| Arc::clone(entry)).collect()
        };
        waiting.shuffle(&mut rand::rng());
        let steps = (self.inner.options.drain_window.get().as_millis() / STEP.as_millis()).max(1);
        let per_step = waiting.len().div_ceil(usize::try_from(steps).unwrap_or(usize::MAX));
        while !waiting.is_empty() {
            let rest = waiting.len().saturating_sub(per_step);
            for entry in waiting.drain(rest..) {
                entry.bell.end(Goodbye::Draining);
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Over how long sessions are sent away when the node stops.
    pub fn drain_window(&self) -> Duration {
        self.inner.options.drain_window.get()
    }
}

impl Session {
    /// What is known of it.
    pub fn info(&self) -> SessionInfo {
        self.entry.details.lock().info.clone()
    }

    /// Who it is.
    pub fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.entry.details.lock().principal)
    }

    /// Waits for the next nudge. After [`Nudge::End`] it is ready at once with the same again.
    pub fn poll_nudge(&self, cx: &mut Context<'_>) -> Poll<Nudge> {
        self.entry.bell.poll(cx)
    }

    /// As [`Session::poll_nudge`].
    pub async fn nudged(&self) -> Nudge {
        std::future::poll_fn(|cx| self.poll_nudge(cx)).await
    }

    /// Marks the session as over for a reason found by its own connection.
    pub fn end(&self, goodbye: Goodbye) {
        self.entry.bell.end(goodbye);
    }

    /// The session goes on with new credentials of the same user and tenant.
    pub fn refresh(&self, principal: Arc<Principal>) {
        let mut table = self.registry.inner.table.lock();
        let mut details = self.entry.details.lock();
        if let Some(at) = details.info.expires_at {
            table.expiring.remove(&(at, self.key));
        }
        if let Some(at) = principal.expires_at {
            table.expiring.insert((at, self.key));
        }
        details.info.expires_at = principal.expires_at;
        details.principal = principal;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut guard = self.registry.inner.table.lock();
        let table = &mut *guard;
        let entry = table.sessions.remove(self.key);
        let details = entry.details.lock();
        let info = &details.info;
        table.by_id.remove(&info.id);
        if let Some(at) = info.expires_at {
            table.expiring.remove(&(at, self.key));
        }
        if let Some(user) = &info.user {
            let name = (info.tenant.clone(), user.clone());
            if let Some(keys) = table.by_user.get_mut(&name) {
                keys.retain(|key| *key != self.key);
                if keys.is_empty() {
                    table.by_user.remove(&name);
                }
            }
        }
        drop(details);
        drop(guard);
        gauge!(names::SESSIONS, "protocol" => self.protocol.as_str()).decrement(1);
    }
}
