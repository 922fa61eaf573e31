//! What presence does by itself on a node: one task, which sleeps until the next thing is due.

use std::time::Duration;

use fanfare_model::{SessionId, Tenant, TopicKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::diff::SIGNAL;
use crate::handle::Inner;
use crate::roster::Away;

/// How long to wait before a session is taken out again, when the engine did not do it.
const PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    /// Until `stop`.
    pub(crate) async fn tend(&self, stop: &CancellationToken) {
        let every = self.options.heartbeat.get();
        let mut heartbeat = Instant::now();
        loop {
            let now = Instant::now();
            if now >= heartbeat {
                heartbeat = now + every;
                self.show_life().await;
            }
            self.announce(now).await;
            while let Some((name, away)) = self.roster.take_due(now) {
                self.take_out(name, away).await;
            }
            let due = [self.pending.next_due(), self.roster.next_due()].into_iter().flatten();
            let next = due.fold(heartbeat, Instant::min);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.news.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Says that this node is alive, and then looks for those that are not.
    async fn show_life(&self) {
        let reaped = match self.engine.heartbeat(&self.holder, self.options.lease.get()).await {
            Ok(()) => self.engine.reap(&self.holder).await,
            Err(error) => Err(error),
        };
        match reaped {
            Ok(0) => {}
            Ok(reaped) => {
                tracing::warn!(sessions = reaped, "took out the members of a dead node");
                self.metrics.reaped.increment(reaped as u64);
            }
            Err(error) => tracing::warn!(error = %error, "presence could not be kept alive"),
        }
    }

    async fn announce(&self, now: Instant) {
        for (topic, diffs) in self.pending.take_due(now) {
            for diff in diffs {
                // One that is lost is noticed by the next.
                if let Err(error) = self.bus.signal(&topic.tenant, &topic.topic, SIGNAL, diff.to_data()).await {
                    tracing::warn!(topic = %topic.topic, error = %error, "a difference could not be announced");
                }
                self.metrics.diffs.increment(1);
            }
        }
    }

    /// Takes a session that is away out of the topics whose grace time is over.
    pub(crate) async fn take_out(&self, name: (Tenant, SessionId), away: Away) {
        let _turn = self.taking_out.lock().await;
        if !self.roster.is_still_away(&name, away) {
            return;
        }
        let (tenant, session) = &name;
        let topics = match self.engine.topics_in(tenant, session, &self.holder).await {
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
            if let Err(error) = self.engine.leave(&topic, session, &self.holder).await {
                return self.try_again(name, away, &error);
            }
        }
        if let Some(next) = next {
            return self.roster.look_again(name, away, next);
        }
        if !away.for_good {
            self.metrics.expired.increment(1);
        }
        self.roster.forget(&name, away);
    }

    fn try_again(&self, name: (Tenant, SessionId), away: Away, error: &crate::Error) {
        tracing::warn!(error = %error, "a session that is away could not be taken out yet");
        self.roster.look_again(name, away, Instant::now() + PAUSE);
    }
}
