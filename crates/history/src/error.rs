//! What a caller can do about a log that did not do what it was asked.

use fanfare_model::Kind;

/// Errors of a log, named after what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too much is waiting to be written; nothing of this batch was stored. Try again later.
    #[error("too many events are waiting to be stored")]
    Overloaded,
    /// The store cannot write or read now (a full disk, a read-only directory). May pass. Whether the event was
    /// stored is not known: it is not there now, but may be found when the store recovers, and is announced
    /// then. Who appends it again under its id gets it stored once.
    #[error("the event store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The event is larger than the engine can keep.
    #[error("the event has {size} bytes; this engine keeps at most {size_max}")]
    TooLarge {
        /// What it has.
        size: usize,
        /// What is allowed.
        size_max: usize,
    },
    /// What is to be restored does not fit: the topic has a log of its own, or events of another one are among them.
    #[error("the topic has a log of its own, which this does not continue")]
    Occupied,
    /// The log has been closed because the process is stopping.
    #[error("the event store is closed")]
    Closed,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Overloaded => Kind::Overloaded,
            Self::Unavailable(_) | Self::Closed => Kind::Unavailable,
            Self::TooLarge { .. } => Kind::TooLarge,
            Self::Occupied => Kind::Conflict,
        }
    }
}
