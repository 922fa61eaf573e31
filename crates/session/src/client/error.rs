//! Why a command was not carried out.

use std::time::Duration;

use fanfare_auth::Refusal;
use fanfare_model::{Invalid, Kind, Topic};

use crate::access::Denied;

/// Errors of a client's commands. Their texts are for the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It may not do that.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The bus could not do it.
    #[error(transparent)]
    Bus(#[from] fanfare_bus::Error),
    /// Presence could not do it.
    #[error(transparent)]
    Presence(#[from] fanfare_presence::Error),
    /// It has not said who it is.
    #[error("the first message must be `connect`")]
    NotConnected,
    /// It has said who it is already.
    #[error("this session is connected already; a new token goes into `refresh`")]
    AlreadyConnected,
    /// It receives that topic already.
    #[error("the topic `{0}` is subscribed already; unsubscribe first to begin elsewhere")]
    AlreadySubscribed(Topic),
    /// It does not receive that topic.
    #[error("the topic `{0}` is not subscribed")]
    NotSubscribed(Topic),
    /// It receives as many topics as it may.
    #[error("a session may have at most {0} subscriptions")]
    TooManySubscriptions(usize),
    /// A place in a life of the log that is over.
    #[error("the position belongs to another life of this topic's log")]
    AnotherLife,
    /// It sends commands faster than allowed.
    #[error("commands come faster than {0} a second")]
    TooFast(u32),
    /// It took too long. It may still be done.
    #[error("it took too long; it may or may not have been done")]
    Timeout,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Denied(denied) => denied.kind(),
            Self::Bus(error) => error.kind(),
            Self::Presence(error) => error.kind(),
            Self::NotConnected => Kind::Unauthenticated,
            Self::AlreadyConnected | Self::AlreadySubscribed(_) | Self::AnotherLife => Kind::Conflict,
            Self::NotSubscribed(_) => Kind::NotFound,
            Self::TooManySubscriptions(_) | Self::TooFast(_) => Kind::Limited,
            Self::Timeout => Kind::Timeout,
        }
    }

    /// The stable code on the wire: the refusal's own where there is one, else that of the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Bus(error) => error.code(),
            other => other.kind().code(),
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Denied(denied) => denied.retryable(),
            // What is held does not become less by waiting.
            Self::TooManySubscriptions(_) | Self::Presence(fanfare_presence::Error::TooManyTopics { .. }) => false,
            other => other.kind().retryable(),
        }
    }

    /// After how long the same request may be made again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(denied) => denied.retry_after(),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Denied(refusal.into())
    }
}
