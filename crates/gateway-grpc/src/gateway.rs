//! What all calls of this gateway on one worker share.

use std::sync::Arc;

use fanfare_lifecycle::TaskKind;
use fanfare_session::client::{Host, Limits};
use fanfare_session::{Node, Protocol};
use tokio::sync::Semaphore;

use crate::Options;
use crate::stream::{LOOKS, Stalls};

pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) options: Arc<Options>,
    /// Of sessions.
    pub(crate) host: Arc<Host>,
    /// Of streams that only listen: their commands are the topics of one request.
    pub(crate) listening: Arc<Host>,
    /// A permit for each session that has not said who it is.
    pub(crate) arrivals: Arc<Semaphore>,
    pub(crate) stalls: Stalls,
}

impl Gateway {
    pub(crate) fn new(node: Node, options: Arc<Options>) -> Arc<Self> {
        let limits = || options.limits();
        let commands = u32::try_from(options.topics_max.saturating_mul(2)).unwrap_or(u32::MAX).saturating_add(1);
        let listening = Limits { commands_burst: commands, ..limits() };
        Arc::new(Self {
            host: Arc::new(Host::new(node.clone(), limits(), Protocol::Grpc)),
            listening: Arc::new(Host::new(node.clone(), listening, Protocol::Grpc)),
            arrivals: Arc::new(Semaphore::new(options.unconnected_max.min(Semaphore::MAX_PERMITS))),
            stalls: Stalls::default(),
            node,
            options,
        })
    }

    /// Looks for stalled streams, until the gateway and its last stream are gone.
    pub(crate) fn start(self: &Arc<Self>) {
        let (gateway, stop) = (Arc::downgrade(self), self.node.life.hard().clone());
        let every = self.options.stall_timeout.get() / LOOKS;
        self.node.life.spawn(TaskKind::Background, "look for stalled grpc streams", async move {
            while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
                let Some(gateway) = gateway.upgrade() else { return };
                gateway.stalls.look();
            }
        });
    }
}
