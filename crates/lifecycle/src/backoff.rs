//! How long to wait before something that failed is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// Waits that double from `first` to `longest`, until [`reset`](Backoff::reset).
///
/// Each wait is drawn from its upper half: those who failed together, at the end of the same server or connection, do not
/// come back together, and none comes back at once. A constant says what the waits are of; each use of it begins anew.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// What the next wait is drawn from.
    whole: Duration,
}

impl Backoff {
    /// Of waits that begin with up to `first` and are never longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        let first = if first.as_nanos() < longest.as_nanos() { first } else { longest };
        Self { first, longest, whole: first }
    }

    /// It works again: the next wait is a short one.
    pub fn reset(&mut self) {
        self.whole = self.first;
    }

    /// How long to wait this time.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.whole;
        self.whole = whole.saturating_mul(2).min(self.longest);
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Waits, unless the wait would not be over before `deadline`: then it returns `false` at once.
    pub async fn wait_within(&mut self, deadline: Instant) -> bool {
        let until = Instant::now() + self.next_wait();
        if until >= deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_millis(350);

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for _ in 0..100 {
            for whole in [FIRST, FIRST * 2, LONGEST, LONGEST] {
                let wait = backoff.next_wait();
                assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
            }
            backoff.reset();
        }
    }

    #[test]
    fn waits_of_two_differ() {
        let waits = || {
            let mut backoff = Backoff::new(FIRST, LONGEST);
            [(); 8].map(|()| backoff.next_wait())
        };
        assert_ne!(waits(), waits());
    }

    #[test]
    fn the_first_is_no_longer_than_the_longest() {
        assert!(Backoff::new(LONGEST, FIRST).next_wait() <= FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_only_if_there_is_time() {
        let begun = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        assert!(!backoff.wait_within(begun + FIRST / 2).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(backoff.wait_within(begun + LONGEST).await);
        assert!(begun.elapsed() >= FIRST && begun.elapsed() <= FIRST * 2 + Duration::from_millis(1));
    }
}
