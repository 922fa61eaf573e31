//! Where a subscription or a read begins.

use crate::position::Position;
use crate::time::Timestamp;

/// Where reading a topic begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next event.
    Now,
    /// With the oldest event that is kept.
    Start,
    /// With the last `n` events.
    Last(u32),
    /// With the first event appended at or after this time.
    Since(Timestamp),
    /// With the event after this position; its tag is verified.
    After(Position),
}
