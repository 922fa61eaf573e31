//! How fast a client may send commands: a token bucket without a timer.

use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Failure, Limits};
use crate::Goodbye;

/// The bucket, kept as the time at which it will be full.
pub(super) struct Pace {
    /// When nothing is owed any more. Each command moves it by `cost`.
    full_at: Instant,
    cost: Duration,
    /// How far `full_at` may lie ahead: the burst.
    ahead_max: Duration,
    per_second: u32,
    /// Commands refused since the last one that was not.
    refused: u32,
    refused_max: u32,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        let per_second = limits.commands_per_second.max(1);
        let cost = Duration::from_secs(1) / per_second;
        Self {
            full_at: Instant::now(),
            cost,
            ahead_max: cost * limits.commands_burst.max(1),
            per_second,
            refused: 0,
            refused_max: limits.commands_burst.max(1),
        }
    }

    /// Accounts for one command. Refused beyond the burst; whoever goes on through another burst is sent away.
    pub(super) fn spend(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let full_at = self.full_at.max(now) + self.cost;
        if full_at <= now + self.ahead_max {
            self.full_at = full_at;
            self.refused = 0;
            return Ok(());
        }
        self.refused += 1;
        let ends = (self.refused > self.refused_max).then_some(Goodbye::Limited);
        Err(Failure { error: Error::TooFast(self.per_second), ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate_then_the_door() {
        let limits = Limits { commands_per_second: 10, commands_burst: 5, ..Limits::default() };
        let mut pace = Pace::new(&limits);
        let passed = |pace: &mut Pace, n: usize| (0..n).filter(|_| pace.spend().is_ok()).count();
        assert_eq!(passed(&mut pace, 8), 5);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(passed(&mut pace, 4), 2);
        assert!((0..3).all(|_| pace.spend().is_err_and(|failure| failure.ends.is_none())));
        assert_eq!(pace.spend().unwrap_err().ends, Some(Goodbye::Limited));
    }
}
