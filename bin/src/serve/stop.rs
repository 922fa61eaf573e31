//! The way out: wait for the signal, send the clients away, wait for them to go.

use fanfare_lifecycle::Lifecycle;
use tokio::sync::Semaphore;

use super::roles::Roles;
use super::signals::Signals;
use crate::config::DrainOptions;
use crate::failure::{Code, Failure};

/// What must have ended before the node may stop.
pub(super) struct Open<'a> {
    pub permits: &'a Semaphore,
    /// How many permits there are.
    pub connections: u32,
    pub roles: &'a Roles,
}

impl Open<'_> {
    async fn ended(&self) {
        // All permits are back when all connections have ended.
        let _ = self.permits.acquire_many(self.connections).await;
        self.roles.sessions_ended().await;
    }
}

/// Waits until the node shall stop (a signal, or a critical task that failed) and drains it. Returns when every
/// connection has ended, or when the time is up, or at a second signal; the caller then stops the rest.
pub(super) async fn drain(
    mut signals: Signals,
    life: &Lifecycle,
    open: Open<'_>,
    options: &DrainOptions,
) -> Result<(), Failure> {
    tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, window = %options.window, "draining; a second signal stops at once");
            // From here gateways say goodbye, acceptors close their sockets, connections take no new requests.
            life.drain();
        }
        () = life.soft().cancelled() => tracing::error!("a critical part has failed, draining"),
    }
    let limit = options.window.get() + options.grace.get();
    let ended = tokio::select! {
        () = open.ended() => Ok(()),
        () = tokio::time::sleep(limit) => Err(Failure::new(
            Code::StoppedAtOnce,
            format!("connections were cut that had not ended {} after the signal", fanfare_model::Duration(limit)),
        )),
        signal = signals.next() => {
            Err(Failure::new(Code::StoppedAtOnce, format!("stopped at once by a second signal ({signal})")))
        }
    };
    if life.failed() {
        return Err(Failure::new(
            Code::PartFailed,
            "a part has failed without which the node does not work; the log says which",
        ));
    }
    ended
}
