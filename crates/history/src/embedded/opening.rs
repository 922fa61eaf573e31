//! Opening the store: what an earlier run has left is moved to the store first, so that every run begins with an empty
//! memory and a new file of the write-ahead log.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use fanfare_model::{Clock, Epoch};
use parking_lot::RwLock;

use super::OpenError;
use super::fault::Fault;
use super::home::Home;
use super::ids::{Filter, IdEntry, IdHash, RecentIds};
use super::life::{Life, boot_now};
use super::memory::{Memory, Recent, Shared};
use super::moving::Order;
use super::options::Options;
use super::store::{Base, Store, open_error};
use super::wal::{self, Entry, ReplayError, Wal};

/// A store that was opened.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Life,
    pub(super) wal: Wal,
    pub(super) filter: Arc<Filter>,
}

/// Opens or makes the store, and begins a new run. `lost_machine` says that the disk is known to have lost something;
/// `is_stopped` is asked between the steps of moving what was left.
pub(super) fn open(
    home: &Home,
    options: &Options,
    clock: &Arc<dyn Clock>,
    lost_machine: bool,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Opened, OpenError> {
    let store = Store::open(home, options, clock)?;
    let (dir, boot) = (home.wal(), boot_now());
    std::fs::create_dir_all(&dir).map_err(|error| home.not_writable(error))?;
    let numbers = wal::numbers(&dir).map_err(|error| home.not_writable(error))?;
    let fault = |fault| open_fault(home, fault);
    let mut left = Left::default();
    let mut life = match store.life().map_err(fault)? {
        Some(life) => {
            left.read(&dir, life, &numbers).map_err(|error| replay_error(home, error))?.resume(boot, lost_machine)
        }
        // A creation that was interrupted had not used its log.
        None if store.is_empty() && numbers.iter().all(|number| is_unused(&dir, *number)) => Life::new(boot),
        None => return Err(home.corrupt("the record of its life is missing", None)),
    };
    // One above any there is; the files before it are removed.
    life.wal_from = numbers.last().map_or(life.wal_from, |last| last + 1);
    let wal = Wal::begin(&dir, life.wal_from, life.next_frame, None).map_err(|error| home.not_writable(error))?;
    // The store will say that the file is there.
    home.settle()?;
    let now = clock.now();
    let filter = Arc::new(store.filter(now).map_err(fault)?);
    let order = Order { recent: Arc::new(left.recent), ids: Arc::new(left.ids), life };
    order.carry_out(&store, &filter, now, is_stopped).map_err(fault)?;
    wal::remove_before(&dir, life.wal_from, 0).map_err(|error| home.not_writable(error))?;
    let base = Arc::new(Base::now(&Arc::new(store)));
    let shared = memory(life.epoch, base);
    Ok(Opened { shared, life, wal, filter })
}

/// Whether a file of the write-ahead log has no frame.
fn is_unused(dir: &Path, number: u64) -> bool {
    matches!(wal::replay(dir, number, &[number], |_, _| {}), Ok(0))
}

fn memory(epoch: Epoch, base: Arc<Base>) -> Arc<Shared> {
    Arc::new(RwLock::new(Memory { recent: Recent::default(), moving: None, base: Some(base), epoch }))
}

/// What an earlier run has left in the write-ahead log.
#[derive(Default)]
struct Left {
    recent: Recent,
    ids: RecentIds,
}

impl Left {
    /// Reads it; returns the record of the store's life with what the log says of it.
    fn read(&mut self, dir: &Path, mut life: Life, numbers: &[u64]) -> Result<Life, ReplayError> {
        let from = life.wal_from;
        let numbers: Vec<u64> = numbers.iter().copied().filter(|number| *number >= from).collect();
        let last = wal::replay(dir, from, &numbers, |_, entry| match entry {
            Entry::Ceiling(ceiling) => life.has_ceiling(ceiling),
            Entry::Topic(key, record, events) => {
                life.has_tid(record.tid);
                for (event, window) in events.iter().filter(|(_, window)| !window.is_zero()) {
                    let id = IdHash::of(life.secret, record.tid, &event.draft.id);
                    let (topic, offset, time) = (record.tid, event.offset, event.time);
                    self.ids.insert(id, IdEntry { topic, offset, time, expires: time.plus(*window) });
                }
                self.recent.put(&key, *record, events.into_iter().map(|(event, _)| event));
            }
        })?;
        life.next_frame = life.next_frame.max(last + 1);
        Ok(life)
    }
}

/// Says of a write-ahead log that cannot be read what the operator can do about it.
fn replay_error(home: &Home, error: ReplayError) -> OpenError {
    match error {
        ReplayError::Io(source) if source.kind() != ErrorKind::NotFound => home.not_writable(source),
        error => home.corrupt(error.to_string(), Some(Box::new(error))),
    }
}

fn open_fault(home: &Home, fault: Fault) -> OpenError {
    match fault {
        Fault::Store(error) | Fault::Sync(error) => match Arc::try_unwrap(error) {
            Ok(error) => open_error(home, error),
            Err(error) => home.corrupt("its database cannot be read", Some(Box::new(Fault::Store(error)))),
        },
        fault => home.corrupt(fault.to_string(), Some(Box::new(fault))),
    }
}
