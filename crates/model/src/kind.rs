//! What a caller can do about an error.

/// The kind of an error: what the caller can do, not what broke. Each transport has one table from
/// this to its own codes, and a test that the table is total over [`Kind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// No, or no valid, credentials.
    Unauthenticated,
    /// The credentials do not allow it.
    Denied,
    /// There is no such thing.
    NotFound,
    /// It contradicts what is there already.
    Conflict,
    /// It is larger than a limit allows.
    TooLarge,
    /// The caller has used up a limit of its own; try again later.
    Limited,
    /// The server has no room right now; try again later.
    Overloaded,
    /// A part of the server is not available; try again later.
    Unavailable,
    /// It took longer than allowed.
    Timeout,
    /// A fault of the server, logged there.
    Internal,
}

impl Kind {
    /// Every kind, for tests that a table is total.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::TooLarge,
        Self::Limited,
        Self::Overloaded,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
    ];

    /// The stable code that clients may match on. The same in every protocol.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "permission_denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Limited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Limited | Self::Overloaded | Self::Unavailable | Self::Timeout)
    }

    /// The HTTP status of this kind: the one table that every HTTP door shares.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Limited => 429,
            Self::Overloaded | Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::Internal => 500,
        }
    }
}
