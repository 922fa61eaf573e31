//! How long to wait before trying again.

use std::time::Duration;

use rand::Rng as _;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles from a quarter of a second to 15 seconds. Each wait is drawn from its upper half, so that clients that
/// were cut off together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The connection works: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait. What the server asked for stands as it is: it has spread its clients already.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(Duration::from_secs(300));
        }
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::new();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            longest = longest.max(backoff.wait(None));
        }
        assert!(longest > LONGEST / 2 && longest <= LONGEST, "{longest:?}");
        assert_eq!(backoff.wait(Some(Duration::from_secs(2))), Duration::from_secs(2));
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
    }
}
