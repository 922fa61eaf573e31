//! Taking out the sessions that stay away: one task, which sleeps until the next absence is to be looked at.

use std::time::Duration;

use fanfare_model::TopicKey;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::handle::Inner;
use crate::roster::{Away, Name};

/// How long to wait before a session is taken out again, when the engine did not do it.
const PAUSE: Duration = Duration::from_secs(1);
/// So many sessions are taken out at once: each is some round trips to the engine.
const AT_ONCE: usize = 64;
/// How long to sleep when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

impl Inner {
    /// Until `stop`.
    pub(crate) async fn tend(&self, stop: &CancellationToken) {
        loop {
            let now = Instant::now();
            let due = stream::iter(std::iter::from_fn(|| self.roster.take_due(now)));
            due.for_each_concurrent(AT_ONCE, |(name, away)| self.take_out(name, away)).await;
            let next = self.roster.next_due().unwrap_or(now + LONG);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.to_tend.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes a session that is away out of the topics whose grace time is over.
    pub(crate) async fn take_out(&self, name: Name, away: Away) {
        let _turn = self.turns.of(&name.1).await;
        if !self.roster.is_still_away(&name, away) {
            return;
        }
        let (tenant, session) = &name;
        let topics = match self.engine.topics_in(tenant, session, &self.holder()).await {
            Ok(topics) => topics,
            Err(error) => return self.try_again(name, away, &error),
        };
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for topic in topics {
            let grace = match &self.bus.policy(&topic).presence {
                Some(policy) if !away.for_good => policy.grace.get(),
                _ => Duration::ZERO,
            };
            let until = away.since + grace;
            if until > now {
                next = Some(next.map_or(until, |next| next.min(until)));
                continue;
            }
            let topic = TopicKey::new(tenant.clone(), topic);
            if let Err(error) = self.engine.leave(&topic, session, &self.holder()).await {
                return self.try_again(name, away, &error);
            }
            self.roster.has_left(&name, &topic.topic);
        }
        if let Some(next) = next {
            return self.roster.look_again(name, away, next);
        }
        if !away.for_good {
            self.metrics.expired.increment(1);
        }
        self.roster.forget(&name, away);
    }

    fn try_again(&self, name: Name, away: Away, error: &Error) {
        tracing::warn!(error = %error, "a session that is away could not be taken out yet");
        self.roster.look_again(name, away, Instant::now() + PAUSE);
    }
}
