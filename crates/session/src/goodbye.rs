//! Why the server ends a session, and what the client should do.

use fanfare_model::Kind;

/// The verdict that a session ends with. The code carries it: 3xxx come back, 4xxx do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goodbye {
    /// This node stops; another takes over.
    Draining,
    /// The session has reached its age.
    Aged,
    /// It read too slowly and its topic's policy is to disconnect; it can resume.
    Slow,
    /// It took nothing for too long while something waited.
    Stalled,
    /// It did not answer a ping.
    Silent,
    /// The node has too many sessions.
    Overloaded,
    /// The log cannot be read now.
    Unavailable,
    /// No, or no valid, credentials.
    Unauthenticated,
    /// The token has expired: come back with a new one.
    Expired,
    /// The credentials were revoked.
    Revoked,
    /// An administrator ended it.
    Disconnected,
    /// The client broke the protocol.
    BadRequest,
    /// A message was larger than allowed.
    TooLarge,
    /// The client used up a limit.
    Limited,
    /// Another session has taken its place.
    Replaced,
    /// A fault of the server.
    Internal,
}

impl Goodbye {
    /// Every verdict, for tests that tables are total.
    pub const ALL: [Self; 16] = [
        Self::Draining,
        Self::Aged,
        Self::Slow,
        Self::Stalled,
        Self::Silent,
        Self::Overloaded,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::Expired,
        Self::Revoked,
        Self::Disconnected,
        Self::BadRequest,
        Self::TooLarge,
        Self::Limited,
        Self::Replaced,
        Self::Internal,
    ];

    /// The code on the wire: a WebSocket close code as it is, a number in other protocols.
    pub const fn code(self) -> u16 {
        match self {
            Self::Draining => 3001,
            Self::Aged => 3002,
            Self::Slow => 3003,
            Self::Stalled => 3004,
            Self::Silent => 3005,
            Self::Overloaded => 3006,
            Self::Unavailable => 3007,
            Self::Internal => 3008,
            Self::Unauthenticated => 4001,
            Self::Expired => 4002,
            Self::Revoked => 4003,
            Self::Disconnected => 4004,
            Self::BadRequest => 4005,
            Self::TooLarge => 4006,
            Self::Limited => 4007,
            Self::Replaced => 4008,
        }
    }

    /// The word on the wire and in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Aged => "aged",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
            Self::Expired => "token_expired",
            Self::Revoked => "revoked",
            Self::Disconnected => "disconnected",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::Limited => "rate_limited",
            Self::Replaced => "replaced",
            Self::Internal => "internal",
        }
    }

    /// Whether the client should come back with what it has.
    pub const fn reconnect(self) -> bool {
        self.code() < 4000
    }

    /// Whether somebody wants the session gone, so that it leaves the topics that it is a member of at once. Others
    /// may come back before they are missed.
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Disconnected | Self::Revoked | Self::Replaced)
    }

    /// The verdict for an error of this kind that ends a session.
    pub const fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Invalid | Kind::NotFound | Kind::Conflict => Self::BadRequest,
            Kind::Unauthenticated => Self::Unauthenticated,
            Kind::Denied => Self::Disconnected,
            Kind::TooLarge => Self::TooLarge,
            Kind::Limited => Self::Limited,
            Kind::Overloaded => Self::Overloaded,
            Kind::Unavailable | Kind::Timeout => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_carry_the_verdict() {
        let codes: HashSet<_> = Goodbye::ALL.iter().map(|g| g.code()).collect();
        assert_eq!(codes.len(), Goodbye::ALL.len());
        assert!(codes.iter().all(|code| (3000..5000).contains(code)));
        for kind in Kind::ALL {
            assert_eq!(
                Goodbye::of_kind(kind).reconnect(),
                kind.retryable() && kind != Kind::Limited || kind == Kind::Internal
            );
        }
    }
}
