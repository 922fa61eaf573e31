//! What a caller of the cluster can do about an error.

use fanfare_model::{Invalid, Kind};

/// Errors of leases and of what is built on them, named after what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name or the holder of a lease is not as it should be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store of leases is not available now. Whether it did what was asked is not known.
    #[error("the cluster's leases are not available now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Unavailable(_) => Kind::Unavailable,
        }
    }

    /// The store failed with `source`.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
