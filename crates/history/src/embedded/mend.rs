//! Recovery from a failed write to the write-ahead log, while the process lives.
//!
//! What could not be written counts for nothing: its appenders were told so, and it is written over. If the disk
//! failed to *confirm* what it was given, or failed in another way than by being full, everything that was written
//! to the file since it last did is in doubt, also what others were acknowledged; a later `fsync` that succeeds says
//! nothing of it. But it is all in memory: so it is moved to the store, and the log goes on in a new file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::writer::Writer;

/// A failure that is not repaired yet.
pub(super) struct Trouble {
    fault: Fault,
    /// When it was last tried to get over it.
    tried: Instant,
}

impl Trouble {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, tried: Instant::now() }
    }
}

impl Writer {
    /// Gets over the trouble there is, if there is any. Tries only if the last attempt was `after` ago or longer,
    /// and fails with the trouble otherwise.
    pub(super) fn mend(&mut self, after: Duration) -> Result<(), Fault> {
        let Some(trouble) = &mut self.trouble else { return Ok(()) };
        if trouble.tried.elapsed() < after {
            return Err(trouble.fault.clone());
        }
        trouble.tried = Instant::now();
        if trouble.fault.doubts_wal() {
            self.leave_file()?;
        }
        self.trouble = None;
        tracing::info!("the event store is written again");
        Ok(())
    }

    /// Goes on with a new file of the write-ahead log when nothing depends on the old one any more.
    fn leave_file(&mut self) -> Result<(), Fault> {
        self.home.probe().map_err(|error| Fault::Disk(Arc::new(error)))?;
        self.end_move(true)?;
        self.begin_move(true)?;
        self.end_move(true)
    }
}
