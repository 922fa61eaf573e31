//! The handles of this node that every gateway works with.

use std::sync::Arc;

use fanfare_auth::Auth;
use fanfare_bus::Bus;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;

use crate::quota::Quotas;
use crate::{Hooks, Options, Registry};

/// What a gateway is made with: cheap to clone, one per worker (its [`Bus`] is that worker's).
#[derive(Clone)]
pub struct Node {
    /// Who may come in, and who they are.
    pub auth: Auth,
    /// Topics.
    pub bus: Bus,
    /// Who is where.
    pub presence: fanfare_presence::Handle,
    /// The other nodes.
    pub cluster: fanfare_cluster::Handle,
    /// Named consumers, with their cursors.
    pub consumers: fanfare_consumer::Handle,
    /// Sessions.
    pub sessions: Registry,
    /// How much users, tenants and addresses may have and do.
    pub quotas: Quotas,
    /// Who decides elsewhere, if anybody does.
    pub hooks: Option<Arc<dyn Hooks>>,
    /// Limits of sessions.
    pub options: Arc<Options>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The life of the process.
    pub life: Lifecycle,
}

impl Node {
    /// The same node for another worker.
    #[must_use]
    pub fn on_worker(&self, worker: usize) -> Self {
        Self {
            bus: self.bus.on_worker(worker),
            consumers: self.consumers.on_worker(worker),
            sessions: self.sessions.on_worker(worker),
            ..self.clone()
        }
    }

    /// Starts what this worker does, and the first one what the node does for others. Call once per worker, on its runtime.
    pub fn start_worker(&self) {
        self.bus.start_worker(&self.life);
        self.sessions.start_worker(&self.life);
        if self.answer_others() {
            self.follow_revocations();
        }
    }
}
