//! What publishers and readers write down.

use std::fmt;
use std::time::Duration;

/// A place in a topic's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which life of the log.
    pub epoch: u32,
    /// The offset.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch, self.offset)
    }
}

/// What became of an event that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Acknowledged {
        /// Where it is.
        place: Place,
        /// When the publisher heard so.
        at: Duration,
    },
    /// It was refused for good: it is nowhere.
    Refused,
    /// Nobody knows: it is there once, or not at all.
    Unknown,
}

/// Why a reader lacks events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Retention removed them.
    Trimmed,
    /// The log began anew.
    Epoch,
    /// The log lost its end.
    Fork,
    /// Anything else, which nobody here asked for.
    Other,
}

/// One entry of a history. Times are since the run began, of one clock. An actor's own entries come in its order;
/// those of different actors in any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A publisher is done with an event, after as many attempts as it made.
    Published {
        /// The topic.
        topic: String,
        /// The event's id.
        id: String,
        /// A hash of its data.
        hash: u64,
        /// When it was sent for the first time.
        invoked: Duration,
        /// What became of it.
        outcome: Outcome,
    },
    /// A reader begins with a topic: at the oldest event, or after a place.
    Began {
        /// Who.
        reader: u32,
        /// The topic.
        topic: String,
        /// The place after which it reads; `None`: from the oldest that is kept.
        after: Option<Place>,
    },
    /// A reader was given an event.
    Event {
        /// Who.
        reader: u32,
        /// The topic.
        topic: String,
        /// Where it says to be.
        place: Place,
        /// Its id.
        id: String,
        /// A hash of its data.
        hash: u64,
        /// When.
        at: Duration,
    },
    /// A reader was told that events are gone.
    Gap {
        /// Who.
        reader: u32,
        /// The topic.
        topic: String,
        /// The first that is gone.
        from: u64,
        /// The last that is gone.
        to: u64,
        /// Why.
        reason: Reason,
        /// Where the reader stands then.
        place: Place,
    },
    /// What gave a reader its rights was revoked.
    Revoked {
        /// Whose.
        reader: u32,
        /// When the server had confirmed it.
        at: Duration,
    },
}
