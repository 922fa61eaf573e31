//! Why somebody was not let in, or may not do something.

use std::borrow::Cow;
use std::fmt;

use fanfare_model::Kind;

/// Declares the reasons once, with their codes.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a credential or a request was refused. The codes are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// There is no credential at all.
    MissingCredential = "missing_credential",
    /// It is not a JWT: wrong number of parts, not base64url, not JSON, a member twice, a bad header.
    MalformedToken = "malformed_token",
    /// It has more bytes than `auth.token_bytes_max`.
    TokenTooLarge = "token_too_large",
    /// Its algorithm is `none`, unknown, not allowed for the issuer, or not one for the key.
    UnsupportedAlgorithm = "unsupported_algorithm",
    /// Its header has `crit`: an extension that must be understood and is not.
    UnsupportedExtension = "unsupported_extension",
    /// Its `typ` is not one that the issuer's tokens have.
    WrongType = "wrong_type",
    /// It has no `iss`.
    MissingIssuer = "missing_issuer",
    /// No issuer with this `iss` is configured.
    UnknownIssuer = "unknown_issuer",
    /// The issuer has no key with this `kid`.
    UnknownKey = "unknown_key",
    /// No key of the issuer made this signature.
    BadSignature = "bad_signature",
    /// It has no `aud`.
    MissingAudience = "missing_audience",
    /// It is for another door, or another service.
    WrongAudience = "wrong_audience",
    /// It has no `exp`.
    MissingExpiry = "missing_expiry",
    /// It, or the API key, has expired.
    Expired = "expired",
    /// Its `nbf` is in the future.
    NotYetValid = "not_yet_valid",
    /// Its `iat` is in the future.
    IssuedInFuture = "issued_in_future",
    /// It lives longer than the issuer's tokens may.
    LifetimeTooLong = "lifetime_too_long",
    /// A claim is not what it must be; [`Refusal::claim`] says which.
    BadClaim = "bad_claim",
    /// There is no such API key: id unknown, or wrong secret (which of the two is not told).
    UnknownApiKey = "unknown_api_key",
    /// The API key is not for this door.
    WrongDoor = "wrong_door",
    /// The API key, the token, or the user's tokens of that time were revoked.
    Revoked = "revoked",
    /// The user is blocked.
    UserBlocked = "user_blocked",
    /// The issuer publishes its keys, and they could not be fetched yet, or for too long. Try again later.
    KeysUnavailable = "keys_unavailable",
    /// It begins as a resume token and is none that this server's keys open: damaged, forged, or sealed with a key
    /// that is gone.
    BadResumeToken = "bad_resume_token",
    /// There is no such ticket: never made here, used already, too old, or shown from another origin.
    UnknownTicket = "unknown_ticket",
    /// The credential is good but does not allow this.
    PermissionDenied = "permission_denied",
}

impl Reason {
    /// Whether a credential was refused ([`Kind::Unauthenticated`]), an action ([`Kind::Denied`]), or nothing can be
    /// said yet ([`Kind::Unavailable`]).
    pub const fn kind(self) -> Kind {
        match self {
            Self::PermissionDenied => Kind::Denied,
            Self::KeysUnavailable => Kind::Unavailable,
            _ => Kind::Unauthenticated,
        }
    }
}

/// A refusal. Its text is a sentence for the client's developer; it holds no part of a token or a
/// secret. With `auth.terse_refusals` every refused credential has the same text and code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    claim: Option<Cow<'static, str>>,
    sentence: Cow<'static, str>,
    terse: bool,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, claim: None, sentence: sentence.into(), terse: false }
    }

    /// A claim that is not what it must be; `problem` continues "claim `x` ".
    pub(crate) fn bad_claim(claim: impl Into<Cow<'static, str>>, problem: impl fmt::Display) -> Self {
        let claim = claim.into();
        let sentence = format!("claim `{claim}` {problem}");
        Self { reason: Reason::BadClaim, claim: Some(claim), sentence: sentence.into(), terse: false }
    }

    pub(crate) fn with_terse(mut self, terse: bool) -> Self {
        self.terse = terse;
        self
    }

    /// The true reason, for logs and metrics. Clients are told [`Refusal::code`].
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The claim that is wrong, if the reason is [`Reason::BadClaim`]. Not for clients.
    pub fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.reason.kind()
    }

    /// The code for the client: that of the reason, or `invalid_credentials` if refusals are terse.
    pub fn code(&self) -> &'static str {
        if self.is_hidden() { "invalid_credentials" } else { self.reason.code() }
    }

    fn is_hidden(&self) -> bool {
        self.terse && self.kind() == Kind::Unauthenticated
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_hidden() { "invalid credentials" } else { &self.sentence })
    }
}

impl std::error::Error for Refusal {}
