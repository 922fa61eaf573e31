//! A session as its connection holds it.

use std::sync::Arc;
use std::task::{Context, Poll};

use fanfare_auth::Principal;
use fanfare_presence::Handle as Presence;
use metrics::gauge;

use super::{Entry, Nudge, Order, Protocol, Registry, SessionInfo};
use crate::quota::{Exceeded, Permit, Place};
use crate::{Goodbye, metrics as names};

/// A session's place in the registry; it leaves when this is dropped.
pub struct Session {
    registry: Registry,
    key: usize,
    entry: Arc<Entry>,
    protocol: Protocol,
}

impl Session {
    pub(super) fn new(registry: Registry, key: usize, entry: Arc<Entry>, protocol: Protocol) -> Self {
        Self { registry, key, entry, protocol }
    }

    /// With what it holds as long as it lasts; `presence` is told when it is gone.
    #[must_use]
    pub(crate) fn holding(self, permit: Permit, presence: &Presence) -> Self {
        self.entry.details.lock().permit = Some(permit);
        // One for all sessions, which are many.
        self.registry.inner.presence.get_or_init(|| presence.clone());
        self
    }

    /// A place for one more subscription, to be held as long as the subscription lasts; `None` where nothing is
    /// counted.
    pub(crate) fn subscription(&self) -> Result<Option<Place>, Exceeded> {
        self.entry.details.lock().permit.as_ref().map(Permit::subscription).transpose()
    }

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

    /// Waits until it is over. Other nudges are kept.
    pub async fn ended(&self) -> Goodbye {
        std::future::poll_fn(|cx| self.entry.bell.poll_end(cx)).await
    }

    /// What the application wants of it, in order.
    pub fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.entry.details.lock().orders)
    }

    /// Marks the session as over for a reason found by its own connection.
    pub fn end(&self, goodbye: Goodbye) {
        self.entry.bell.end(goodbye);
    }

    /// Whether another connection goes on with this session, here or on another node.
    pub fn is_taken_over(&self) -> bool {
        let table = self.registry.inner.table.lock();
        let details = self.entry.details.lock();
        details.moved || table.by_id.get(&details.info.id) != Some(&self.key)
    }

    /// It ends on purpose, its client's or the server's: it leaves every topic that it is a member of at once. Not
    /// called, it is missed for a while (`grace` of presence), in which it may come back.
    pub async fn leave(&self) {
        if let Some(presence) = self.registry.inner.presence.get().filter(|_| !self.is_taken_over()) {
            let info = self.info();
            presence.gone(&info.tenant, &info.id).await;
        }
    }

    /// The session goes on with new credentials of the same user and tenant.
    pub fn refresh(&self, principal: Arc<Principal>) {
        let mut table = self.registry.inner.table.lock();
        let mut details = self.entry.details.lock();
        if let Some(at) = details.due {
            table.expiring.remove(&(at, self.key));
        }
        details.due = self.registry.due(principal.expires_at);
        table.expiring.extend(details.due.map(|at| (at, self.key)));
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
        // Unless another connection goes on with it.
        if table.by_id.get(&info.id) == Some(&self.key) {
            table.by_id.remove(&info.id);
            // Under the lock, so that whoever goes on with it is registered before or behind this, and then resumes.
            if let Some(presence) = self.registry.inner.presence.get() {
                presence.disconnected(&info.tenant, &info.id);
            }
        }
        if let Some(at) = details.due {
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
        if table.sessions.is_empty() {
            self.registry.inner.emptied.notify_waiters();
        }
        drop(guard);
        gauge!(names::SESSIONS, "protocol" => self.protocol.as_str()).decrement(1);
    }
}
