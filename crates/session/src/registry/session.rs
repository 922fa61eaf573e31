//! A session as its connection holds it.

use std::sync::Arc;
use std::task::{Context, Poll};

use fanfare_auth::Principal;
use metrics::gauge;

use super::{Entry, Nudge, Protocol, Registry, SessionInfo};
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
        if table.sessions.is_empty() {
            self.registry.inner.emptied.notify_waiters();
        }
        drop(guard);
        gauge!(names::SESSIONS, "protocol" => self.protocol.as_str()).decrement(1);
    }
}
