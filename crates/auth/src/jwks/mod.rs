//! Keys that an issuer publishes: fetched, kept, fetched again.

mod clients;
mod document;
mod fetch;
mod options;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use fanfare_lifecycle::{Backoff, Lifecycle, TaskKind};
use fanfare_model::{Clock, Timestamp};
use parking_lot::Mutex;
use reqwest::{Client, Url};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use clients::Clients;
pub use options::Jwks;

use crate::key::{Fingerprint, Key};
use fetch::Failure;

/// How often, at most, tokens with unknown keys make it fetch: anybody can make such tokens.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// How soon a fetch that failed is tried again, at first and at last.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The published keys of one issuer.
pub(crate) struct KeySet {
    /// The configured name of the issuer.
    issuer: Arc<str>,
    url: Url,
    options: Jwks,
    client: Client,
    clock: Arc<dyn Clock>,
    /// What the last fetch that succeeded gave.
    last_good: ArcSwapOption<Fetched>,
    progress: Mutex<Progress>,
    asked: Notify,
    /// How many fetches have ended.
    rounds: watch::Sender<u64>,
}

struct Fetched {
    keys: Vec<Key>,
    at: Timestamp,
}

#[derive(Default)]
struct Progress {
    /// There is a task that fetches.
    running: bool,
    /// A fetch has begun, or is about to.
    fetching: bool,
    /// When a token last made it fetch. What it fetches by itself does not count: a key that is new just after that is
    /// fetched at once as well.
    asked: Option<Timestamp>,
}

/// The keys at a moment.
pub(crate) struct Keys(Arc<Fetched>);

impl Keys {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.0.keys.iter()
    }
}

impl KeySet {
    /// The keys published at the address in `options`, which were validated. Nothing is fetched before
    /// [`KeySet::start`].
    pub(crate) fn new(
        issuer: Arc<str>,
        options: Jwks,
        client: Client,
        clock: Arc<dyn Clock>,
        dev: bool,
    ) -> Result<Self, String> {
        Ok(Self {
            issuer,
            url: options.address(dev)?,
            options,
            client,
            clock,
            last_good: ArcSwapOption::empty(),
            progress: Mutex::default(),
            asked: Notify::new(),
            rounds: watch::Sender::new(0),
        })
    }

    /// The keys, unless there were none yet, or none for too long.
    pub(crate) fn keys(&self, now: Timestamp) -> Option<Keys> {
        let fetched = self.last_good.load_full()?;
        (now.since(fetched.at) <= self.options.keep.get()).then_some(Keys(fetched))
    }

    /// Asks for a fetch because a token names a key that is not known. What is returned ends when the fetch, this or
    /// one under way, has ended; `None` if none is allowed now.
    pub(crate) fn ask(&self, now: Timestamp) -> Option<impl Future<Output = ()> + Send + use<>> {
        // Before anything is begun, so that its end is not missed.
        let mut rounds = self.rounds.subscribe();
        let mut progress = self.progress.lock();
        if !progress.running {
            return None;
        }
        if !progress.fetching {
            // A clock that was set back does not hold up anything.
            let is_recent = |asked: Timestamp| asked <= now && now.since(asked) < ASKED_EVERY;
            if progress.asked.is_some_and(is_recent) {
                return None;
            }
            progress.asked = Some(now);
            progress.fetching = true;
            self.asked.notify_one();
        }
        Some(async move {
            // An error is the end of the key set, which ends the waiting as well.
            let _ = rounds.changed().await;
        })
    }

    /// Starts the task that fetches the keys, now and from then on.
    pub(crate) fn start(self: &Arc<Self>, life: &Lifecycle) {
        let (set, stop) = (Arc::clone(self), life.soft().clone());
        {
            let mut progress = self.progress.lock();
            progress.running = true;
            // From here on, who needs the keys waits for the first fetch.
            progress.fetching = true;
        }
        let running = Running(Arc::clone(self));
        life.spawn(TaskKind::Critical, "fetch keys", async move {
            let _running = running;
            set.keep_fresh(&stop).await;
        });
    }

    async fn keep_fresh(&self, stop: &CancellationToken) {
        let refresh = self.options.refresh.get();
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX.min(refresh));
        loop {
            let fetched = tokio::select! {
                fetched = fetch::fetch(
                    &self.client,
                    &self.url,
                    self.options.timeout.get(),
                    self.options.bytes_max.as_usize(),
                ) => fetched,
                () = stop.cancelled() => return,
            };
            let pause = if fetched.is_ok() {
                backoff.reset();
                // Not every node at the same moment.
                refresh.mul_f64(rand::random_range(0.9..=1.0))
            } else {
                backoff.next_wait()
            };
            self.note(fetched);
            tokio::select! {
                () = self.next(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Waits until it is time to fetch, or somebody asks for it.
    async fn next(&self, pause: Duration) {
        let asked = async {
            loop {
                self.asked.notified().await;
                // Else it was asked when the time had come anyway, and that fetch is over.
                if self.progress.lock().fetching {
                    return;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => self.progress.lock().fetching = true,
            () = asked => {}
        }
    }

    /// Takes what a fetch gave, and tells those who wait for it.
    fn note(&self, fetched: Result<Vec<Key>, Failure>) {
        let issuer = &*self.issuer;
        crate::metrics::fetched(fetched.as_ref().map_or_else(|failure| failure.outcome(), |_| "ok"));
        match fetched {
            Ok(keys) => {
                let fetched = Arc::new(Fetched { keys, at: self.clock.now() });
                let before = self.last_good.swap(Some(Arc::clone(&fetched)));
                if before.is_none_or(|before| before.fingerprints() != fetched.fingerprints()) {
                    let keys = fetched.keys.len();
                    tracing::info!(target: "fanfare::security", issuer, keys, "the issuer's keys have changed");
                }
            }
            Err(failure) => {
                let url = self.url.as_str();
                tracing::warn!(issuer, url, error = %failure, "the issuer's keys could not be fetched");
            }
        }
        self.progress.lock().fetching = false;
        self.rounds.send_modify(|rounds| *rounds += 1);
    }
}

impl Fetched {
    fn fingerprints(&self) -> Vec<Fingerprint> {
        self.keys.iter().map(|key| key.fingerprint).collect()
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// While it lives there is a task that fetches. When it is dropped nobody waits any longer.
struct Running(Arc<KeySet>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.progress.lock() = Progress::default();
        self.0.rounds.send_modify(|rounds| *rounds += 1);
    }
}
