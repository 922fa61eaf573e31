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
    /// A position was given but cannot be read as one (malformed, or it does not name this topic).
    /// Not an error, because a browser's `EventSource` would die of one: the reader starts with the
    /// next event and is told of the gap.
    Unknown,
}
