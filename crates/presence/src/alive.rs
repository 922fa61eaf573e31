//! Being alive: saying so, looking for those who are not, and coming back after having been taken for dead.

use std::time::Duration;

use fanfare_lifecycle::Backoff;
use fanfare_model::{Topic, TopicKey};
use futures_util::{StreamExt as _, stream};
use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::handle::Inner;
use crate::metrics::REBORN;
use crate::roster::Name;

/// How soon those are tried again whom the engine did not let in, at first and at last: they may be many, and of many nodes.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
/// So many enter again at once: each is one round trip to the engine.
const AT_ONCE: usize = 64;

impl Inner {
    /// Says now and then that this node is alive, and looks for those that are not, until `stop`.
    pub(crate) async fn stay_alive(&self, stop: &CancellationToken) {
        let mut last = None;
        loop {
            let seen = match self.show_life(last).await {
                Ok(said) => {
                    last = Some(said);
                    self.look_for_dead().await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = seen {
                tracing::warn!(error = %error, "presence could not be kept alive");
            }
            if tokio::time::timeout(self.options.heartbeat.get(), stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Says that this node is alive, as it did at `last`; returns when.
    async fn show_life(&self, last: Option<Instant>) -> Result<Instant, Error> {
        let (lease, now) = (self.options.lease.get(), Instant::now());
        let was_alive = self.engine.heartbeat(&self.holder(), lease).await?;
        let Some(last) = last else { return Ok(now) };
        // Too late: somebody may have taken its members out, even if somebody has entered here since, which makes a holder
        // known again.
        if self.outlives_node && (!was_alive || last.elapsed() >= lease) {
            // Whoever still takes out what the former holder had does not take out what this one has.
            self.engine.heartbeat(&self.another_life(), lease).await?;
            tracing::warn!("this node was taken for dead, or the engine has lost something; its members enter again");
            counter!(REBORN).increment(1);
            self.to_bring_back.notify_one();
        }
        Ok(now)
    }

    async fn look_for_dead(&self) -> Result<(), Error> {
        let reaped = self.engine.reap(&self.holder()).await?;
        if reaped > 0 {
            tracing::warn!(sessions = reaped, "took out the members of a dead node");
            self.metrics.reaped.increment(reaped as u64);
        }
        Ok(())
    }

    /// Has everybody enter again whenever it is needed, until `stop`.
    pub(crate) async fn bring_back(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = self.to_bring_back.notified() => {}
                () = stop.cancelled() => return,
            }
            let mut left = self.roster.all_entered();
            let mut backoff = RETRY;
            while !left.is_empty() {
                let tried = stream::iter(left).map(async |(name, topic)| {
                    let again = self.enter_again(&name, &topic).await;
                    again.is_err_and(|error| is_passing(&topic, &error)).then_some((name, topic))
                });
                left = tried.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
                if !left.is_empty() && tokio::time::timeout(backoff.next_wait(), stop.cancelled()).await.is_ok() {
                    return;
                }
            }
        }
    }

    async fn enter_again(&self, name: &Name, topic: &Topic) -> Result<(), Error> {
        let _turn = self.turns.of(&name.1).await;
        // It may have left since.
        let Some(entered) = self.roster.entered(name, topic) else { return Ok(()) };
        let topic = TopicKey::new(name.0.clone(), topic.clone());
        self.enter(topic, &name.1, entered).await?;
        Ok(())
    }
}

fn is_passing(topic: &Topic, error: &Error) -> bool {
    tracing::warn!(%topic, error = %error, "a member could not enter again");
    error.kind().retryable()
}
