//! What a caller of presence can do about an error.

use fanfare_model::{Invalid, Kind};

/// Errors of presence, named after what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy of the topic has no presence.
    #[error("topics of kind `{kind}` have no presence")]
    Disabled {
        /// The kind of the topic.
        kind: String,
    },
    /// Members of the topic are users, and the session has none.
    #[error("members of topics of kind `{kind}` are users, and this session has no user")]
    NeedsUser {
        /// The kind of the topic.
        kind: String,
    },
    /// What the member says of itself is not as it should be.
    #[error(transparent)]
    Data(#[from] Invalid),
    /// What the member says of itself is too large.
    #[error("the member's data have {size} bytes; topics of kind `{kind}` allow at most {size_max}")]
    DataTooLarge {
        /// What they have, in bytes of JSON.
        size: usize,
        /// What the policy allows.
        size_max: usize,
        /// The kind of the topic.
        kind: String,
    },
    /// The session is not a member of the topic: enter first.
    #[error("this session is not a member of the topic; enter it first")]
    NotMember,
    /// The session is in as many topics as it may be: leave one first.
    #[error("a session may be a member of at most {topics_max} topics")]
    TooManyTopics {
        /// How many are allowed.
        topics_max: usize,
    },
    /// There is no room for another member now.
    #[error("there is no room for more members now")]
    Full,
    /// The engine, or the log that the topic's policy asks for, is not available now.
    #[error("presence is not available now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disabled { .. } | Self::NeedsUser { .. } | Self::Data(_) => Kind::Invalid,
            Self::DataTooLarge { .. } => Kind::TooLarge,
            Self::NotMember => Kind::NotFound,
            Self::TooManyTopics { .. } => Kind::Limited,
            Self::Full => Kind::Overloaded,
            Self::Unavailable(_) => Kind::Unavailable,
        }
    }
}
