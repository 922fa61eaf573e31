//! What can go wrong beside a refusal.

use std::path::{Path, PathBuf};

use fanfare_model::Kind;

/// A failure to start, to mint, to manage API keys, to revoke, or to make a ticket. Refused credentials are
/// [`Refusal`](crate::Refusal)s.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong; the text names the key and the fix.
    #[error("{0}")]
    Configuration(String),
    /// The request to mint or to create is wrong; the text says how.
    #[error("{0}")]
    Invalid(String),
    /// There is no such issuer or API key.
    #[error("{0}")]
    NotFound(String),
    /// There is already an API key with this id.
    #[error("there is already an API key `{0}`; ids are never used twice")]
    Conflict(String),
    /// There are as many API keys as `auth.api_keys_max` allows.
    #[error("there are already {0} API keys, as many as auth.api_keys_max allows; revoke some, or raise it")]
    TooManyKeys(usize),
    /// There are as many revocations as `auth.revocations_max` allows.
    #[error(
        "there are already {0} revocations, as many as auth.revocations_max allows; raise it, or block fewer users"
    )]
    TooManyRevocations(usize),
    /// There are as many tickets that nobody has used yet as `auth.tickets_max` allows.
    #[error("there are already {0} unused tickets, as many as auth.tickets_max allows; try again in a moment")]
    TooManyTickets(usize),
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried, as in "cannot …".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file of API keys is not one, or contradicts the configuration.
    #[error("the file of API keys {} {problem}", path.display())]
    KeysFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// The file of revocations is not one.
    #[error("the file of revocations {} {problem}", path.display())]
    RevocationsFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// The cryptographic library failed at something that cannot fail with a checked key.
    #[error("signing failed")]
    Signing,
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) | Self::Invalid(_) => Kind::Invalid,
            Self::NotFound(_) => Kind::NotFound,
            Self::Conflict(_) => Kind::Conflict,
            Self::TooManyKeys(_) | Self::TooManyRevocations(_) => Kind::Limited,
            Self::TooManyTickets(_) => Kind::Overloaded,
            Self::File { .. } => Kind::Unavailable,
            Self::KeysFile { .. } | Self::RevocationsFile { .. } | Self::Signing => Kind::Internal,
        }
    }
}
