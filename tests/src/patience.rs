//! Waiting with a bound: on a future, and on state that can only be polled.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for something that should happen at once, on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at state outside this process.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The output of `future`; panics, naming `what`, if it takes longer than [`PATIENCE`].
pub async fn within<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    let output = tokio::time::timeout(PATIENCE, future).await;
    output.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Polls `look` until it gives a value; panics, naming `what`, after `patience`.
pub async fn eventually<T, F>(what: impl Display, patience: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + patience;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < until, "waited {patience:?} in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
