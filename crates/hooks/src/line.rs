//! One hook: who may ask when, how long it may take, and what is done without an answer.

use std::sync::Arc;

use fanfare_model::Topic;
use fanfare_session::{Allow, Ask, Hook, Verdict};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::breaker::{After, Breaker};
use crate::fault::{Fault, What};
use crate::grpc::Grpc;
use crate::http::Http;
use crate::metrics::Handles;
use crate::signature::Signer;
use crate::{Error, HookOptions, OnError, Options};

/// The line to the application for one hook.
pub(crate) struct Line {
    hook: Hook,
    /// Empty: all.
    kinds: Vec<String>,
    timeout: std::time::Duration,
    on_error: OnError,
    road: Road,
    breaker: Breaker,
    /// Who asks now.
    places: Semaphore,
    metrics: Handles,
}

enum Road {
    Http(Http),
    Grpc(Box<Grpc>),
}

impl Line {
    pub(crate) fn new(
        hook: Hook,
        options: &HookOptions,
        all: &Options,
        authorities: Option<&[u8]>,
        signer: Arc<Signer>,
    ) -> Result<Self, Error> {
        let wrong = |problem| Error::Options(format!("`hooks.{}.{problem}", hook.as_str()));
        let url = options.address().map_err(wrong)?;
        let headers = options.header_map().map_err(wrong)?;
        let bytes_max = all.answer_bytes_max.as_usize();
        let road = if url.scheme().starts_with("grpc") {
            Road::Grpc(Box::new(Grpc::new(&url, headers, bytes_max, authorities, signer)?))
        } else {
            Road::Http(Http::new(url, headers, bytes_max, authorities, signer)?)
        };
        Ok(Self {
            hook,
            kinds: options.kinds.clone(),
            timeout: options.timeout.get(),
            on_error: options.on_error,
            road,
            breaker: Breaker::new(&all.breaker),
            places: Semaphore::new(all.concurrency_max.min(Semaphore::MAX_PERMITS)),
            metrics: Handles::new(hook),
        })
    }

    /// Whether it is asked about this topic.
    pub(crate) fn wants(&self, topic: Option<&Topic>) -> bool {
        self.kinds.is_empty() || topic.is_none_or(|topic| self.kinds.iter().any(|kind| kind == topic.kind()))
    }

    pub(crate) async fn decide(&self, ask: &Ask) -> Verdict {
        let asked_at = Instant::now();
        let answer = self.answer(ask, asked_at + self.timeout).await;
        self.metrics.seconds.record(asked_at.elapsed());
        match answer {
            Ok(verdict) => {
                let denied = matches!(verdict, Verdict::Deny { .. });
                if denied { &self.metrics.denied } else { &self.metrics.allowed }.increment(1);
                verdict
            }
            Err(fault) => {
                self.metrics.unanswered(fault.what);
                match self.on_error {
                    OnError::Deny => Verdict::Unavailable,
                    OnError::Allow => Verdict::Allow(Allow::default()),
                }
            }
        }
    }

    async fn answer(&self, ask: &Ask, deadline: Instant) -> Result<Verdict, Fault> {
        let Some(pass) = self.breaker.enter(Instant::now()) else {
            return Err(Fault::new(What::Open, "it failed too often"));
        };
        let busy = || Fault::new(What::Busy, "too many questions at a time");
        let place = timeout_at(deadline, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(busy()) };
        let has_time = deadline.saturating_duration_since(Instant::now()) >= self.timeout / 2;
        let answer = timeout_at(deadline, self.road.ask(ask, deadline)).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::new(What::Timeout, "no answer in time")));
        match &answer {
            Ok(_) => {
                if pass.succeeded() {
                    self.metrics.open.set(0.0);
                    tracing::info!(hook = self.hook.as_str(), "hook answers again");
                }
            }
            // Most of the time went by in waiting for a place, and that says nothing about the application: those who
            // have the places will tell.
            Err(fault) if fault.what == What::Timeout && !has_time => return Err(busy()),
            Err(fault) => self.note(pass.failed(Instant::now()), fault),
        }
        answer
    }

    /// Says once what is wrong, and once that the hook is left out, however many clients come meanwhile.
    fn note(&self, after: After, fault: &Fault) {
        let (hook, why, detail) = (self.hook.as_str(), fault.what.as_str(), &fault.detail);
        match after {
            After::First => tracing::warn!(hook, why, detail, "hook gave no answer"),
            After::More => tracing::debug!(hook, why, detail, "hook gave no answer"),
            After::Opened => {
                self.metrics.open.set(1.0);
                tracing::error!(hook, why, detail, "hook fails again and again, leaving it out for a while");
            }
        }
    }
}

impl Road {
    async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Verdict, Fault> {
        match self {
            Self::Http(http) => http.ask(ask).await,
            Self::Grpc(grpc) => grpc.ask(ask, deadline).await,
        }
    }
}
