//! Waiting for an engine that is not there yet: nodes and what they share are often started at the same time.

use std::error::Error;
use std::time::Duration;

use fanfare_lifecycle::Backoff;
use fanfare_model::Kind;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::backend::unusable;
use crate::config::Engine;
use crate::failure::{Failure, causes};

/// How soon it is tried again, at first and at last.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// What `connect` comes to. An engine that is not available may become so: it is tried again for `patience`, and the log
/// says why. Every other `kind` of error is the end at once.
pub(super) async fn patiently<'a, T, E: Error + Send + Sync + 'static>(
    engine: Engine,
    patience: Duration,
    kind: fn(&E) -> Kind,
    connect: impl Fn() -> BoxFuture<'a, Result<T, E>>,
) -> Result<T, Failure> {
    // Without an end, if it is so far away that it cannot be told.
    let until = Instant::now().checked_add(patience);
    let mut backoff = TRY_AGAIN;
    loop {
        let error = match connect().await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        let again = Instant::now() + backoff.next_wait();
        if kind(&error) != Kind::Unavailable || until.is_some_and(|until| again >= until) {
            return Err(unusable(engine, error));
        }
        let why = causes(&error).join(": ");
        tracing::warn!(engine = engine.as_str(), error = why, "the engine is not available yet; it is tried again");
        tokio::time::sleep_until(again).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    /// Connects to an engine that fails `failures` times; what came of it, and how often it was tried.
    async fn tried(failures: u32, kind: fn(&io::Error) -> Kind, patience: Duration) -> (Result<(), String>, u32) {
        let tried = AtomicU32::new(0);
        let connect = || {
            let fails = tried.fetch_add(1, Ordering::Relaxed) < failures;
            async move { if fails { Err(io::Error::other("it is not there")) } else { Ok(()) } }.boxed()
        };
        let connected = patiently(Engine::Redis, patience, kind, connect).await;
        (connected.map_err(|failure| failure.to_string()), tried.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_may_pass_is_waited_for_and_what_does_not_is_told_at_once() {
        let long = Duration::from_secs(3600);
        let [passes, stays]: [fn(&io::Error) -> Kind; 2] = [|_| Kind::Unavailable, |_| Kind::Denied];
        assert_eq!(tried(1, passes, long).await, (Ok(()), 2));
        for (kind, patience) in [(stays, long), (passes, Duration::ZERO)] {
            let (refused, times) = tried(u32::MAX, kind, patience).await;
            let refused = refused.unwrap_err();
            assert!(refused.contains("FF-0015") && refused.contains("because: it is not there"), "{refused}");
            assert_eq!(times, 1);
        }
    }
}
