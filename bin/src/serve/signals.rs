//! Signals: those that end the process, and the one that says that files have changed.

use std::io::IsTerminal as _;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::{Code, Failure};

/// SIGTERM, SIGINT and SIGHUP.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Whether the process was started from a terminal, whose closing is what SIGHUP then means.
    terminal: bool,
    renew: Arc<Notify>,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    pub(super) fn install() -> Result<Self, Failure> {
        let install = |kind| {
            signal(kind).map_err(|error| Failure::because(Code::SystemRefused, "signals cannot be handled", error))
        };
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hang_up: install(SignalKind::hangup())?,
            terminal: std::io::stdin().is_terminal(),
            renew: Arc::new(Notify::new()),
        })
    }

    /// Notified at each SIGHUP that does not come from a terminal's closing: files that may change are to be read again.
    pub(super) fn renew(&self) -> Arc<Notify> {
        Arc::clone(&self.renew)
    }

    /// Waits for the next that ends the process, and returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    // A terminal that closes must not cut connections.
                    if self.terminal {
                        return "SIGHUP";
                    }
                    self.renew.notify_one();
                }
            }
        }
    }
}
