//! Why a command was not carried out.

use fanfare_auth::Refusal;
use fanfare_model::{Invalid, Kind, Topic};

use crate::TooMany;

/// Errors of a client's commands. Their texts are for the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The credentials are no good, or do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are too many sessions.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The bus could not do it.
    #[error(transparent)]
    Bus(#[from] fanfare_bus::Error),
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
    /// Clients may not publish there.
    #[error("topics of kind `{0}` do not take events from clients (`client_publish` of the kind's policy)")]
    ClientPublishOff(String),
    /// A refresh with somebody else's token.
    #[error("the new token is of another user or tenant than this session")]
    OtherIdentity,
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
            Self::Refused(refusal) => refusal.kind(),
            Self::TooMany(limit) => limit.kind(),
            Self::Bus(error) => error.kind(),
            Self::NotConnected => Kind::Unauthenticated,
            Self::AlreadyConnected | Self::AlreadySubscribed(_) | Self::AnotherLife => Kind::Conflict,
            Self::NotSubscribed(_) => Kind::NotFound,
            Self::ClientPublishOff(_) | Self::OtherIdentity => Kind::Denied,
            Self::TooManySubscriptions(_) | Self::TooFast(_) => Kind::Limited,
            Self::Timeout => Kind::Timeout,
        }
    }

    /// The stable code on the wire: the refusal's own where there is one, else that of the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            other => other.kind().code(),
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(&self) -> bool {
        // The number of subscriptions does not fall by waiting.
        self.kind().retryable() && !matches!(self, Self::TooManySubscriptions(_))
    }
}
