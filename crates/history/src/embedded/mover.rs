//! The thread that moves recent events to the store, while the writer goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fanfare_model::Clock;
use parking_lot::{Condvar, Mutex};

use super::fault::Fault;
use super::home::Home;
use super::ids::Filter;
use super::journal;
use super::memory::Shared;
use super::moving::Order;
use super::options::Options;
use super::store::{Base, Store};
use super::wal::{self, Wal};
use crate::metrics::{Operation, store_error};

/// What the writer and the mover share.
pub(super) struct Mover {
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
    /// A file of the write-ahead log that is ready to be written.
    ready: Mutex<Option<Wal>>,
    home: Arc<Home>,
    options: Options,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    filter: Arc<Filter>,
}

/// Where the move stands that was ordered last.
enum State {
    /// It is done.
    Idle,
    /// It is to be begun, or is being made.
    Busy(Order),
    /// It failed and will be made again.
    Failing(Order, Fault),
}

impl Mover {
    pub(super) fn new(
        home: Arc<Home>,
        options: Options,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        filter: Arc<Filter>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Idle),
            changed: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            ready: Mutex::new(None),
            home,
            options,
            clock,
            shared,
            filter,
        })
    }

    pub(super) fn start(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let mover = Arc::clone(self);
        std::thread::Builder::new().name("history-move".to_owned()).spawn(move || mover.run())
    }

    /// Ends the thread; a move that is under way is not finished.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Whether everything that was ordered has been done.
    pub(super) fn is_idle(&self) -> bool {
        matches!(*self.state.lock(), State::Idle)
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn trouble(&self) -> Option<Fault> {
        match &*self.state.lock() {
            State::Failing(_, fault) => Some(fault.clone()),
            State::Idle | State::Busy(_) => None,
        }
    }

    /// Orders a move. The mover is idle.
    pub(super) fn order(&self, order: Order) {
        *self.state.lock() = State::Busy(order);
        self.changed.notify_all();
    }

    /// Waits until the move that is under way is done or has failed. With `retry` one that has failed before is tried
    /// again at once.
    pub(super) fn wait(&self, retry: bool) -> Result<(), Fault> {
        let mut state = self.state.lock();
        if retry && let State::Failing(order, _) = &*state {
            *state = State::Busy(order.clone());
            self.changed.notify_all();
        }
        loop {
            match &*state {
                State::Idle => return Ok(()),
                State::Failing(_, fault) => return Err(fault.clone()),
                State::Busy(_) if self.is_stopped() => return Err(Fault::Waiting),
                State::Busy(_) => self.changed.wait(&mut state),
            }
        }
    }

    /// The file of the write-ahead log with this number, if it is ready.
    pub(super) fn ready(&self, number: u64) -> Option<Wal> {
        self.ready.lock().take_if(|wal| wal.number() == number)
    }

    /// Keeps a file for the next one who asks.
    pub(super) fn keep_ready(&self, wal: Wal) {
        *self.ready.lock() = Some(wal);
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    fn run(&self) {
        while let Some(order) = self.next() {
            let done = self.carry_out(&order);
            if let Ok(true) = done {
                self.clean_up(order.life.wal_from);
            }
            let state = match done {
                Ok(true) => State::Idle,
                Ok(false) => return,
                Err(fault) => State::Failing(order.clone(), fault),
            };
            let before = std::mem::replace(&mut *self.state.lock(), state);
            self.changed.notify_all();
            // What was moved is given back here, where nobody waits for it.
            drop((before, order));
        }
    }

    /// Waits for an order, or until it is time to try again; `None` when the thread is to end.
    fn next(&self) -> Option<Order> {
        let mut state = self.state.lock();
        loop {
            if self.is_stopped() {
                return None;
            }
            match &*state {
                State::Idle => self.changed.wait(&mut state),
                State::Busy(order) => return Some(order.clone()),
                State::Failing(order, _) => {
                    let order = order.clone();
                    if self.changed.wait_for(&mut state, self.options.retry_every.get()).timed_out() {
                        return Some(order);
                    }
                }
            }
        }
    }

    /// Makes the move; `false` if it was stopped.
    fn carry_out(&self, order: &Order) -> Result<bool, Fault> {
        let store = self.store()?;
        let is_stopped = || self.is_stopped();
        match order.carry_out(&store, &self.filter, self.clock.now(), &is_stopped) {
            Ok(()) => {
                let mut memory = self.shared.write();
                memory.moving = None;
                memory.base = Some(Arc::new(Base::now(&store)));
                Ok(true)
            }
            Err(_) if self.is_stopped() => Ok(false),
            Err(fault) => {
                tracing::error!(error = &fault as &dyn std::error::Error, "cannot move events to the event store");
                store_error(Operation::Write);
                // After a failed write fjall refuses every other one until it is opened again.
                drop(store);
                self.shut(&fault)?;
                Err(fault)
            }
        }
    }

    /// The store; it is opened again if it was shut.
    fn store(&self) -> Result<Arc<Store>, Fault> {
        if let Some(base) = &self.shared.read().base {
            return Ok(Arc::clone(&base.store));
        }
        let store = Store::open(&self.home, &self.options, &self.clock).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot open the event store again");
            store_error(Operation::Open);
            Fault::Open(Arc::new(error))
        })?;
        let store = Arc::new(store);
        self.shared.write().base = Some(Arc::new(Base::now(&store)));
        Ok(store)
    }

    /// Closes the store, when the disk takes writes again, so that it can be opened anew. Until then readers have it
    /// as it was.
    fn shut(&self, fault: &Fault) -> Result<(), Fault> {
        self.home.probe().map_err(|error| Fault::Disk(Arc::new(error)))?;
        if let Some(base) = self.shared.write().base.take() {
            wait_until_unused(base);
        }
        if fault.doubts_store() {
            journal::rewrite_active(&self.home.database()).map_err(|error| Fault::Disk(Arc::new(error)))?;
        }
        Ok(())
    }

    /// Removes what is not needed any more of the write-ahead log, and makes its next file ready. If that fails the
    /// writer will see it.
    fn clean_up(&self, wal_from: u64) {
        let dir = self.home.wal();
        let used = wal::remove_before(&dir, wal_from, self.options.wal_file_bytes_max() * 2);
        let used: Option<PathBuf> = used.unwrap_or_else(|error| {
            tracing::warn!(%error, "files of the write-ahead log that are not needed cannot be removed");
            None
        });
        match Wal::begin(&dir, wal_from + 1, 0, used.as_deref()) {
            Ok(wal) => self.keep_ready(wal),
            Err(error) => tracing::warn!(%error, "the next file of the write-ahead log cannot be made ready"),
        }
    }
}

/// Drops the store when nobody uses it any more: it can be opened again only after it was closed. Reads are bounded
/// and none begins now, so that this is a matter of milliseconds.
fn wait_until_unused(mut base: Arc<Base>) {
    let mut store = loop {
        match Arc::try_unwrap(base) {
            Ok(base) => break base.store,
            Err(shared) => base = shared,
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    while let Err(shared) = Arc::try_unwrap(store) {
        store = shared;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
