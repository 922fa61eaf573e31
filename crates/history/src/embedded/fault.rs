//! What went wrong in the store.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::Error;
use crate::record::codec::Damage;

/// A failure of the store. Cheap to clone, because every event of a failed write gets it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    #[error("the event store failed")]
    Store(#[source] Arc<fjall::Error>),
    #[error("the disk did not confirm that it has what was moved to the event store")]
    Sync(#[source] Arc<fjall::Error>),
    #[error("the write-ahead log cannot be written")]
    Write(#[source] Arc<io::Error>),
    #[error("the disk did not confirm that it has the events")]
    Confirm(#[source] Arc<io::Error>),
    #[error("the disk does not take writes")]
    Disk(#[source] Arc<io::Error>),
    #[error("the event store could not be opened again")]
    Open(#[source] Arc<super::OpenError>),
    #[error("what is stored of {what} is damaged")]
    Damaged {
        what: String,
        #[source]
        damage: Damage,
    },
    #[error("the event store waits for the disk to recover")]
    Waiting,
}

impl Fault {
    pub(super) fn damaged(what: impl Into<String>, damage: Damage) -> Self {
        Self::Damaged { what: what.into(), damage }
    }

    /// Whether the disk may have lost what fjall gave it before. After a failed `fsync` the system may have dropped
    /// what it could not write while it calls it clean.
    pub(super) fn doubts_store(&self) -> bool {
        match self {
            Self::Sync(_) => true,
            // Somebody else's write failed, we do not know which.
            Self::Store(error) => matches!(**error, fjall::Error::Poisoned),
            _ => false,
        }
    }

    /// Whether the disk may have lost what was written to the write-ahead log before. A disk that is full has not.
    pub(super) fn doubts_wal(&self) -> bool {
        match self {
            Self::Confirm(_) => true,
            Self::Write(error) => {
                !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
            }
            _ => false,
        }
    }
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(Box::new(fault))
    }
}
