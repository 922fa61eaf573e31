//! What a reader is told when events are missing.

use serde::{Deserialize, Serialize};

/// Why a reader does not get some events. The closed list of design section 1, promise 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Retention removed them.
    Trimmed,
    /// The log was reborn: the reader's position belongs to an earlier life of the topic.
    Epoch,
    /// The log does not hold the event that the reader's position names (a tail was lost).
    Fork,
    /// The reader fell behind and its policy is to skip.
    Slow,
    /// The reader fell behind and its policy is to get the latest event of each key.
    Conflated,
}

impl GapReason {
    /// The word on every wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::Fork => "fork",
            Self::Slow => "slow",
            Self::Conflated => "conflated",
        }
    }
}

/// A stretch of offsets that a reader does not get in full.
///
/// For `trimmed`, `slow` and `conflated` the missing events lie in `from..=to`. For `epoch` and `fork`
/// `from` is the offset the reader's own position would have continued at, in a life of the log that is
/// gone, and `to` is the last offset before the one that delivery continues with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First offset that is missing.
    pub from: u64,
    /// Last offset that is missing.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}
