//! One clock for everything that is stamped: microseconds since this program began, the same on all its threads.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static BEGAN: OnceLock<Instant> = OnceLock::new();

fn began() -> Instant {
    *BEGAN.get_or_init(Instant::now)
}

/// Microseconds since the program began; at least 1, so that 0 can mean never.
pub(crate) fn now() -> u64 {
    micros(began().elapsed()) + 1
}

/// `duration` in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, for tokens and reports.
pub(crate) fn unix_seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// Microseconds since 1970 at which [`now`] was 0.
pub(crate) fn unix_micros_at_zero() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, micros).saturating_sub(now())
}
