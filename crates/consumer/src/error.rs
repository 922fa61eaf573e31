//! What a caller can do about an error.

use fanfare_model::Kind;

/// Errors of consumers, named after what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The topic keeps no history, so that nothing could be given out again.
    #[error("topics of kind `{kind}` keep no history; a consumer needs a topic that does")]
    NoHistory {
        /// The kind of the topic.
        kind: String,
    },
    /// There is no such consumer of this topic.
    #[error("there is no such consumer of this topic")]
    NotFound,
    /// The lease is over: its time has passed, all of it was acknowledged or released, or the consumer was moved. What
    /// was left of it may have been given out again.
    #[error("the lease has ended; what was left of it is given out again")]
    LeaseEnded,
    /// Where to go lies outside of what the log has.
    #[error("the place asked for is not in the log of this topic")]
    NoSuchPlace,
    /// The tenant has as many consumers as it may.
    #[error("this tenant has {most} consumers, which is the most it may have; forget one that is not used any more")]
    TooManyConsumers {
        /// The limit, [`crate::Options::consumers_max`].
        most: usize,
    },
    /// Too much of the topic is given out and not acknowledged. Acknowledge before pulling more.
    #[error("{most} leases of this consumer are out or wait to be given out again; acknowledge some first")]
    TooManyLeases {
        /// The limit, [`crate::Options::leases_max`].
        most: usize,
    },
    /// Too many callers wait for events of this consumer.
    #[error("{most} callers pull from this consumer already, which is the most that may")]
    TooManyPullers {
        /// The limit, [`crate::Options::pullers_max`].
        most: usize,
    },
    /// Too much waits for the store, or others change the same consumer all the time. Try again later.
    #[error("too much is going on with consumers")]
    Overloaded,
    /// The topic cannot be read.
    #[error(transparent)]
    Bus(#[from] fanfare_bus::Error),
    /// The store of consumers cannot write or read now. May pass. Whether a change was stored is not known.
    #[error("the store of consumers is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store has been closed because the process is stopping.
    #[error("the store of consumers is closed")]
    Closed,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoHistory { .. } | Self::NoSuchPlace => Kind::Invalid,
            Self::NotFound => Kind::NotFound,
            Self::LeaseEnded => Kind::Conflict,
            Self::TooManyConsumers { .. } | Self::TooManyLeases { .. } | Self::TooManyPullers { .. } => Kind::Limited,
            Self::Overloaded => Kind::Overloaded,
            Self::Bus(error) => error.kind(),
            Self::Unavailable(_) | Self::Closed => Kind::Unavailable,
        }
    }
}
