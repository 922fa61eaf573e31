//! What a caller of the bus can do about an error.

use fanfare_model::Kind;

/// Errors of publishing and reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is larger than its topic's policy allows.
    #[error("the event has {size} bytes; topics of kind `{kind}` allow at most {size_max}")]
    EventTooLarge {
        /// What it has, in bytes.
        size: usize,
        /// What the policy allows.
        size_max: usize,
        /// The kind of the topic.
        kind: String,
    },
    /// The event is not as the rules of its topic's policy say ([`crate::PayloadRules`]).
    #[error("{reason}")]
    Payload {
        /// What is wrong with it, for its publisher; says where, and shows nothing of the data.
        reason: String,
        /// A JSON pointer to what is wrong in its data, if a schema found it; empty for the whole.
        at: Option<String>,
    },
    /// The log could not do it.
    #[error(transparent)]
    Log(#[from] fanfare_history::Error),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::EventTooLarge { .. } => Kind::TooLarge,
            Self::Payload { .. } => Kind::Invalid,
            Self::Log(error) => error.kind(),
        }
    }

    /// The word for it on every wire: that of its kind, unless it has one of its own.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload_refused",
            other => other.kind().code(),
        }
    }
}
