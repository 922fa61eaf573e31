//! Where all actors write down what they see.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::checker::{Allowance, Checker, Observation, Outcome, Place};
use super::recovery::{Outage, Recovery, Spread};

/// The history of one run: checked as it is written, and kept in a file for whoever wants to know how it came.
pub struct Recorder {
    begun: Instant,
    checker: Mutex<Checker>,
    file: Mutex<BufWriter<File>>,
    path: PathBuf,
    /// How far each reader has come in each topic.
    places: Mutex<HashMap<(u32, String), Place>>,
    /// What was broken, the latest last.
    faults: Mutex<Vec<Fault>>,
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
    reconnects: AtomicUsize,
    stopping: AtomicBool,
    /// Told of every acknowledgement and every failed attempt.
    progress: Notify,
}

/// Something that was broken. Times are since the run began.
struct Fault {
    at: Duration,
    /// When what was broken worked again, if it was away for a while.
    mended: Option<Duration>,
    /// When each reader was given something that was sent after the fault.
    whole: HashMap<u32, Duration>,
}

impl Recorder {
    /// A run that begins now; its history goes to `path`.
    pub fn new(allowance: Allowance, path: &Path) -> Self {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            begun: Instant::now(),
            checker: Mutex::new(Checker::new(allowance)),
            file: Mutex::new(BufWriter::new(file)),
            path: path.to_owned(),
            places: Mutex::default(),
            faults: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            reconnects: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            progress: Notify::new(),
        }
    }

    /// Time since the run began.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes down what happened.
    pub fn observe(&self, observation: Observation) {
        writeln!(self.file.lock(), "{:?} {observation:?}", self.now()).expect("the history is writable");
        match &observation {
            Observation::Event { reader, topic, place, .. } | Observation::Gap { reader, topic, place, .. } => {
                self.places.lock().insert((*reader, topic.clone()), *place);
            }
            Observation::Published { outcome: Outcome::Acknowledged { .. }, .. } => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.progress.notify_waiters();
            }
            _ => {}
        }
        self.checker.lock().observe(observation);
    }

    /// Takes down what a scenario did, for whoever reads the history.
    pub fn note(&self, what: &str) {
        writeln!(self.file.lock(), "{:?} -- {what}", self.now()).expect("the history is writable");
    }

    /// Something is about to break. From here on it is measured when each reader is given something newer.
    pub fn broken(&self, what: &str) {
        self.note(what);
        self.faults.lock().push(Fault { at: self.now(), mended: None, whole: HashMap::new() });
    }

    /// What was broken last works again: what takes longer is the nodes' and the readers' own doing.
    pub(super) fn mended(&self) {
        self.note("mended");
        if let Some(fault) = self.faults.lock().last_mut() {
            fault.mended = Some(self.now());
        }
    }

    /// What was broken so far does not count: the run only begins.
    pub(super) fn begun(&self) {
        self.faults.lock().clear();
    }

    /// A reader was given an event that was sent at `sent`.
    pub(super) fn delivered(&self, reader: u32, sent: Duration) {
        if let Some(fault) = self.faults.lock().last_mut().filter(|fault| sent > fault.at) {
            fault.whole.entry(reader).or_insert_with(|| self.now());
        }
    }

    /// How many of `readers` were given something that was sent after the last fault.
    pub(super) fn whole_readers(&self, readers: &[u32]) -> usize {
        let faults = self.faults.lock();
        faults.last().map_or(0, |fault| readers.iter().filter(|reader| fault.whole.contains_key(reader)).count())
    }

    /// How often something was broken, and how long after it readers were whole again.
    pub(super) fn recovery(&self) -> Recovery {
        let faults = self.faults.lock();
        let after = |since: &dyn Fn(&Fault) -> Duration| {
            let took = faults.iter().flat_map(|fault| fault.whole.values().map(|at| at.saturating_sub(since(fault))));
            Spread::of(took.collect())
        };
        let outage = faults.iter().filter_map(|fault| Some(fault.mended?.saturating_sub(fault.at))).max();
        Recovery {
            faults: faults.len(),
            whole: after(&|fault| fault.at),
            outage: outage.map(|longest| Outage { longest, after: after(&|fault| fault.mended.unwrap_or(fault.at)) }),
        }
    }

    /// From now on acknowledged events may be lost, because the engine is about to lose its end.
    pub fn may_lose(&self) {
        self.note("what is acknowledged from here on may be lost");
        self.checker.lock().may_lose_from(self.now());
    }

    /// Everything up to [`Recorder::must_keep`] may be lost, because the engine is about to lose everything.
    pub fn may_lose_all(&self) {
        self.note("everything may be lost");
        self.checker.lock().may_lose_from(Duration::ZERO);
    }

    /// From now on they are kept again.
    pub fn must_keep(&self) {
        self.note("what is acknowledged from here on is kept");
        self.checker.lock().may_lose_until(self.now());
    }

    /// Events that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Attempts to publish that were not acknowledged.
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn attempt_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.progress.notify_waiters();
    }

    /// Waits until `done` of this recorder, which is looked at whenever a publisher got on or did not.
    pub(super) async fn until(&self, done: impl Fn(&Self) -> bool) {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if done(self) {
                return;
            }
            progress.await;
        }
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that readers lost and made again.
    pub fn reconnects(&self) -> usize {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub(super) fn stop_publishing(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Where a reader is in a topic.
    pub(super) fn place(&self, reader: u32, topic: &str) -> Option<Place> {
        self.places.lock().get(&(reader, topic.to_owned())).copied()
    }

    /// The checker with all that was observed, and where the history is. Nothing may be observed any more.
    pub(super) fn close(&self) -> (Checker, PathBuf) {
        self.file.lock().flush().expect("the history is writable");
        (std::mem::take(&mut self.checker.lock()), self.path.clone())
    }
}

/// A hash of an event's data, the same for every encoding that it went through.
pub(super) fn hash_of(data: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.to_string().hash(&mut hasher);
    hasher.finish()
}
