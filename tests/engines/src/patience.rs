//! Waiting with a bound for what only another process can make true.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How long a server may take to be ready: two cores, shared with compilers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at another process.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Polls `look` until it gives a value; panics with `what` after [`PATIENCE`], also when a look does not end.
pub(crate) async fn eventually<T, W: Display>(what: impl Fn() -> W, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(Some(value)) = timeout_at(until, look()).await {
            return value;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} in vain for {}", what());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
