//! Why somebody may not do something, whoever said so.

use std::time::Duration;

use fanfare_auth::{Reason, Refusal};
use fanfare_model::{Kind, Topic};

use crate::problem::Problem;
use crate::quota::Exceeded;
use crate::{Goodbye, TooMany};

/// A no. Its text is for the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The credentials are no good, or do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are too many sessions.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// A limit of the user, the tenant or the address.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// Clients may not publish there.
    #[error("topics of kind `{}` do not take events from clients (`client_publish` of the kind's policy)", .0.kind())]
    ClientPublishOff(Topic),
    /// A refresh with somebody else's token.
    #[error("the new token is of another user or tenant than this session")]
    OtherIdentity,
    /// The application says no.
    #[error("{reason}")]
    ByApplication {
        /// In its words.
        reason: String,
        /// Whether the session is to end.
        disconnect: bool,
    },
    /// The application should be asked and cannot be.
    #[error("the application that decides about this cannot be asked now")]
    Undecided,
}

impl Denied {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::TooMany(limit) => limit.kind(),
            Self::Exceeded(exceeded) => exceeded.kind(),
            Self::ClientPublishOff(_) | Self::OtherIdentity | Self::ByApplication { .. } => Kind::Denied,
            Self::Undecided => Kind::Unavailable,
        }
    }

    /// The stable code: the refusal's own where there is one, else that of the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::ByApplication { .. } => "denied_by_application",
            other => other.kind().code(),
        }
    }

    /// After how long the same may be tried again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exceeded(exceeded) => exceeded.retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self {
            // What is held does not become less by waiting.
            Self::Exceeded(exceeded) => exceeded.retry_after.is_some(),
            other => other.kind().retryable(),
        }
    }

    /// The verdict for one who is not let in because of this.
    pub fn goodbye(&self) -> Goodbye {
        match self {
            Self::Refused(refusal) => match refusal.reason() {
                Reason::Expired => Goodbye::Expired,
                Reason::Revoked | Reason::UserBlocked => Goodbye::Revoked,
                Reason::KeysUnavailable => Goodbye::Unavailable,
                _ => Goodbye::Unauthenticated,
            },
            Self::TooMany(TooMany::OnNode) => Goodbye::Overloaded,
            Self::TooMany(TooMany::Draining) => Goodbye::Draining,
            Self::TooMany(TooMany::OfUser) | Self::Exceeded(_) => Goodbye::Limited,
            Self::ClientPublishOff(_) | Self::OtherIdentity | Self::ByApplication { .. } => Goodbye::Disconnected,
            Self::Undecided => Goodbye::Unavailable,
        }
    }

    /// The verdict for a session that ends because of this; most do not end it.
    pub fn ends(&self) -> Option<Goodbye> {
        matches!(self, Self::ByApplication { disconnect: true, .. }).then_some(Goodbye::Disconnected)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refusal) => refusal.into(),
            Denied::TooMany(limit) => limit.into(),
            Denied::Exceeded(exceeded) => exceeded.into(),
            other => Self::new(other.kind(), &other).with_code(other.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_come_back_is_sent_away_with_a_code_that_says_so() {
        let no = |disconnect| Denied::ByApplication { reason: "no".to_owned(), disconnect };
        for (denied, goodbye, ends) in [
            (no(false), Goodbye::Disconnected, None),
            (no(true), Goodbye::Disconnected, Some(Goodbye::Disconnected)),
            (Denied::Undecided, Goodbye::Unavailable, None),
            (TooMany::OnNode.into(), Goodbye::Overloaded, None),
            (TooMany::Draining.into(), Goodbye::Draining, None),
            (TooMany::OfUser.into(), Goodbye::Limited, None),
        ] {
            assert_eq!((denied.goodbye(), denied.ends()), (goodbye, ends), "{denied:?}");
            // A limit may be tried again, but only once something has been given up.
            if denied.kind() != Kind::Limited {
                assert_eq!(denied.goodbye().reconnect(), denied.retryable(), "{denied:?}");
            }
        }
    }
}
