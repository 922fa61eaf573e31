//! Certificates are renewed while the node runs: their files are looked at, and read again when they have changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::Clock;
use tokio::sync::Notify;

use super::metrics;
use super::tls::Tls;

/// How often files are looked at: it costs three system calls a listener.
const LOOK: Duration = Duration::from_secs(1);

/// What is looked at, and what was seen.
pub(super) struct Renewal {
    listeners: Vec<Watched>,
    clock: Arc<dyn Clock>,
}

struct Watched {
    tls: Arc<Tls>,
    seen: Vec<Option<Stamp>>,
    /// What was said of its certificate, so that it is said once.
    warned: Option<&'static str>,
}

/// What changes when a file does, also when it is replaced or a link to it is.
type Stamp = (u64, u64, i64, i64);

impl Renewal {
    pub(super) fn of(listeners: impl Iterator<Item = Arc<Tls>>, clock: Arc<dyn Clock>) -> Self {
        let listeners = listeners.map(|tls| Watched { seen: stamps(&tls), tls, warned: None }).collect();
        Self { listeners, clock }
    }

    /// Looks every second, and at once when `now` is notified; then it reads all, changed or not.
    pub(super) fn start(mut self, now: Arc<Notify>, life: &Lifecycle) {
        if self.listeners.is_empty() {
            return;
        }
        let stop = life.soft().clone();
        life.spawn(TaskKind::Background, "renew certificates", async move {
            loop {
                let asked = tokio::select! {
                    () = stop.cancelled() => return,
                    () = now.notified() => true,
                    () = tokio::time::sleep(LOOK) => false,
                };
                // An error: it panicked, which the log says.
                let looking = tokio::task::spawn_blocking(move || {
                    self.look(asked);
                    self
                });
                let Ok(back) = looking.await else { return };
                self = back;
            }
        });
    }

    fn look(&mut self, asked: bool) {
        let now = self.clock.now();
        for watched in &mut self.listeners {
            let stamps = stamps(&watched.tls);
            if asked || stamps != watched.seen {
                watched.seen = stamps;
                watched.reload();
            }
            let certificate = watched.tls.certificate();
            let warning = certificate.warning(now);
            if warning != watched.warned {
                watched.warned = warning;
                if let Some(warning) = warning {
                    let listener = watched.tls.listener();
                    tracing::warn!(listener, subject = certificate.subject, expires_at = %certificate.expires_at, "{warning}");
                }
            }
        }
        let expiries = self.listeners.iter().map(|watched| watched.tls.certificate().expires_at);
        if let Some(first) = expiries.min() {
            metrics::certificates_expire(first);
        }
    }
}

impl Watched {
    fn reload(&mut self) {
        let listener = self.tls.listener();
        match self.tls.reload() {
            Ok(()) => {
                let certificate = self.tls.certificate();
                metrics::reloaded(true);
                tracing::info!(
                    listener,
                    subject = certificate.subject,
                    expires_at = %certificate.expires_at,
                    "the files of TLS were read again"
                );
            }
            Err(unusable) => {
                metrics::reloaded(false);
                tracing::error!(listener, why = %unusable, "the files of TLS cannot be used, going on with those before");
            }
        }
    }
}

fn stamps(tls: &Tls) -> Vec<Option<Stamp>> {
    tls.files().map(stamp).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}
