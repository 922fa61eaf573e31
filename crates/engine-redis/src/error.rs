//! What can be done about servers that cannot be used.

use fanfare_model::Kind;

/// Errors of connecting, for the operator. What goes wrong later is told in the terms of each seam.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used; the text names the key and the fix.
    #[error("{0}")]
    Configuration(String),
    /// No server could be reached within the time; that may pass.
    #[error(
        "no primary of `engine.redis.urls` can be reached: is the server running, and may it be reached from here?"
    )]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server is there and cannot be used as it is; the text says what to change there.
    #[error("{0}")]
    Unfit(String),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) | Self::Unfit(_) => Kind::Invalid,
            Self::Unreachable(_) => Kind::Unavailable,
        }
    }
}

/// Why an operation was not done, within the crate: each seam has its own words for it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The servers could not be reached, or not within the time; it may have been done nevertheless.
    #[error("the servers did not answer within the time: {0}")]
    Unavailable(String),
    /// The server refused; trying again does not help.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The answer was not what a script of ours answers.
    #[error("the server's answer could not be understood: {0}")]
    Garbled(&'static str),
    /// Stored, but not on as many replicas as asked for.
    #[error("the event is on fewer replicas than asked for")]
    NotReplicated,
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}

impl Failure {
    /// In the words of a log.
    pub(crate) fn of_log(self) -> fanfare_history::Error {
        match self {
            Self::Closed => fanfare_history::Error::Closed,
            other => fanfare_history::Error::Unavailable(Box::new(other)),
        }
    }
}

impl From<Failure> for fanfare_cluster::Error {
    fn from(failure: Failure) -> Self {
        Self::unavailable(failure)
    }
}

impl From<Failure> for fanfare_consumer::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => Self::Closed,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<Failure> for fanfare_presence::Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}
