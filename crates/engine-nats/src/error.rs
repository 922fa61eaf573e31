//! What can be done about servers that cannot be used.

use fanfare_model::Kind;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Errors of connecting, for the operator. What goes wrong later is told in the terms of each seam.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used; the text names the key and the fix.
    #[error("{0}")]
    Configuration(String),
    /// No server could be reached within the time.
    #[error("no server of `engine.nats.urls` can be reached: is one running, and may it be reached from here?")]
    Unreachable(#[source] Source),
    /// `JetStream` does not answer, which may pass: a cluster that has just been started has no leader yet.
    #[error(
        "JetStream does not answer at the NATS server; start it with `jetstream {{}}` in its configuration, allow it for \
         this account, see that most servers of a cluster are up, and that engine.nats.domain is right if it is set"
    )]
    Unready(#[source] Source),
    /// The servers are there and cannot be used as they are; the text says what to change there.
    #[error("{0}")]
    Unfit(String),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) | Self::Unfit(_) => Kind::Invalid,
            Self::Unreachable(_) | Self::Unready(_) => Kind::Unavailable,
        }
    }
}

/// Why an operation was not done, within the crate: each seam has its own words for it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    /// No answer within the time; it may have been done nevertheless.
    #[error("the servers did not answer within the time: {0}")]
    Unavailable(String),
    /// A server refused, and says why: `JetStream`'s number of the error, and its text.
    #[error("the server refused ({code}): {text}")]
    Refused { code: u64, text: String },
    /// What is stored there is not what this engine stores.
    #[error("what the server answered could not be understood: {0}")]
    Garbled(String),
}

/// Numbers of `JetStream`'s errors.
pub(crate) mod code {
    /// The event is larger than the stream allows.
    pub(crate) const MESSAGE_TOO_LARGE: u64 = 10_054;
    /// There is no such stream.
    pub(crate) const NO_STREAM: u64 = 10_059;
    /// There is no such message (any more).
    pub(crate) const NO_MESSAGE: u64 = 10_037;
    /// Another message is the last of its subject than was expected.
    pub(crate) const WRONG_LAST: u64 = 10_071;
    /// The same, as servers since 2.12 say it of what is under way.
    pub(crate) const WRONG_LAST_NOW: u64 = 10_164;
    /// The message to delete is not there.
    pub(crate) const NOT_DELETED: u64 = 10_057;
    /// These pass: too few servers to place a stream while one is away, no leader, no quorum, or not known yet.
    pub(crate) const PASSING: [u64; 5] = [10_005, 10_008, 10_009, 10_014, 10_123];
}

impl Fault {
    pub(crate) fn is(&self, wanted: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }

    /// In the words of a log.
    pub(crate) fn of_log(self) -> fanfare_history::Error {
        fanfare_history::Error::Unavailable(Box::new(self))
    }
}

impl From<Fault> for fanfare_cluster::Error {
    fn from(fault: Fault) -> Self {
        Self::unavailable(fault)
    }
}

impl From<Fault> for fanfare_consumer::Error {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(Box::new(fault))
    }
}

impl From<Fault> for fanfare_presence::Error {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(Box::new(fault))
    }
}
