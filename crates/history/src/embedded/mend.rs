//! Recovery from a failed write, while the process lives.
//!
//! After a failed write fjall refuses every other one until it is opened again. What was being written may be
//! on the disk as a whole or not at all. So: wait until the disk takes writes, open the store again, and take
//! from there where each topic ends. Events that are there although their appenders were told that they
//! failed are announced now, so that the log has no hole; an appender that tries again finds them by their ids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_model::TopicKey;
use hashbrown::HashMap;

use super::fault::Fault;
use super::journal;
use super::phase::Failed;
use super::read::{self, read_page};
use super::store::{Store, View};
use super::writer::Writer;
use crate::metrics::{Operation, store_error};
use crate::{Direction, Head, Read, ReadFrom, Reset};

/// A failure that is not repaired yet.
pub(super) struct Trouble {
    fault: Fault,
    /// Whether what the disk was given earlier is in doubt as well.
    doubts_disk: bool,
    /// When it was last tried to get over it.
    tried: Instant,
    /// The topics whose latest events are in doubt, and where each ended for everybody else.
    in_doubt: HashMap<TopicKey, Head>,
}

impl Trouble {
    pub(super) fn new(failed: Failed) -> Self {
        let Failed { fault, before } = failed;
        let doubts_disk = fault.doubts_disk();
        Self { fault, doubts_disk, tried: Instant::now(), in_doubt: before.into_iter().collect() }
    }
}

impl Writer {
    /// Gets over the trouble there is, if there is any. Tries only if the last attempt was `after` ago or longer,
    /// and fails with the trouble otherwise.
    pub(super) fn mend(&mut self, after: Duration) -> Result<(), Fault> {
        let Some(mut trouble) = self.trouble.take() else { return Ok(()) };
        if trouble.tried.elapsed() < after {
            let fault = trouble.fault.clone();
            self.trouble = Some(trouble);
            return Err(fault);
        }
        match self.open_again(&trouble) {
            Ok(()) => {
                tracing::info!("the event store can be written again");
                Ok(())
            }
            Err(fault) => {
                trouble.tried = Instant::now();
                trouble.fault = fault.clone();
                self.trouble = Some(trouble);
                Err(fault)
            }
        }
    }

    fn open_again(&mut self, trouble: &Trouble) -> Result<(), Fault> {
        self.home.probe().map_err(|error| Fault::Disk(Arc::new(error)))?;
        // Until here readers had the store as it was before the failure.
        drop(self.slot.write().take());
        if let Some(store) = self.store.take() {
            wait_until_unused(store);
        }
        if trouble.doubts_disk {
            journal::rewrite_active(&self.home.database()).map_err(|error| Fault::Disk(Arc::new(error)))?;
        }
        let (store, life) =
            Store::open(&self.home, &self.options, &self.clock, trouble.doubts_disk).map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot open the event store again");
                store_error(Operation::Open);
                Fault::Open(Arc::new(error))
            })?;
        let store = Arc::new(store);
        self.life = life;
        self.topics.clear();
        self.publish(&store);
        self.store = Some(Arc::clone(&store));
        self.announce_surfaced(&store, &trouble.in_doubt)
    }

    /// Tells of what was stored although it failed.
    fn announce_surfaced(&self, store: &Arc<Store>, in_doubt: &HashMap<TopicKey, Head>) -> Result<(), Fault> {
        let view = View::now(store, &self.life);
        for (topic, before) in in_doubt {
            let Some(record) = view.topic(topic)? else { continue };
            let same_life = record.head.last.epoch == before.last.epoch;
            if !same_life {
                self.announce.reset(&Reset { topic: topic.clone(), head: record.head });
            }
            let from = if same_life { before.last.offset + 1 } else { 0 };
            let read = Read {
                topic: topic.clone(),
                from: ReadFrom::Offset(from),
                direction: Direction::Forward,
                limit: usize::MAX,
                bytes_max: usize::MAX,
                age_max: None,
            };
            let page = read_page(&view, &read, read::NO_AGE)?;
            if !page.events.is_empty() {
                self.announce.stored(&page.events);
            }
        }
        Ok(())
    }
}

/// Drops the store when no reader uses it any more: it can be opened again only after it was closed. Reads are
/// bounded and none begins now, so that this is a matter of milliseconds.
fn wait_until_unused(mut store: Arc<Store>) {
    while let Err(shared) = Arc::try_unwrap(store) {
        store = shared;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
