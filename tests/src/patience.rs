//! Waiting with a bound: on a future, and on state that can only be polled.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for something that should happen at once, on a machine with two cores that is busy with other
/// things and stands still for seconds now and then. It is no measure: a test for which time matters sets the times that
/// it tells apart further from each other than this.
pub const PATIENCE: Duration = Duration::from_secs(60);

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

/// Watches that things come in time, one after the other. A machine that stands still holds up the one that is on its way;
/// whatever holds up more than a few is not the machine.
#[derive(Debug)]
pub struct InTime {
    max: Duration,
    late: Vec<Duration>,
}

impl InTime {
    /// How many may be late.
    const LATE_MAX: usize = 3;

    /// Each is to take at most `max`.
    pub fn new(max: Duration) -> Self {
        Self { max, late: Vec::new() }
    }

    /// The next one took so long; panics if too many have been late.
    pub fn took(&mut self, took: Duration) {
        if took > self.max {
            self.late.push(took);
        }
        assert!(
            self.late.len() <= Self::LATE_MAX,
            "again and again it takes more than {:?}: {:?}",
            self.max,
            self.late
        );
    }
}
