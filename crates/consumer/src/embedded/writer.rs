//! The thread that owns the store.

use std::collections::HashMap;
use std::time::Instant;

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;

use super::store::{Fault, Store};
use crate::cursors::{Key, ListPage, ListQuery, Swap, Swapped, Version};
use crate::{Error, Options, Progress};

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// Something to read or to change.
pub(super) enum Request {
    Get(Key, Answer<Option<(Version, Progress)>>),
    Swap(Box<Swap>, Answer<Swapped>),
    List(ListQuery, Answer<ListPage>),
    Close(Answer<()>),
}

/// How many requests are carried out with one write at most: enough that an `fsync` is shared by all who wait.
const TURN_MAX: usize = 1024;

/// Owns the store; it is opened again after a failure.
pub(super) struct Writer {
    store: Option<Store>,
    options: Options,
    failed_at: Option<Instant>,
    /// The latest version that was handed out before a failure, so that none is handed out twice.
    version: u64,
}

/// What is changed in this turn.
#[derive(Default)]
struct Turn {
    records: HashMap<Key, Option<(Version, Progress)>>,
    answers: Vec<(Swapped, Answer<Swapped>)>,
    commit: bool,
}

impl Writer {
    pub(super) fn new(store: Store, options: Options) -> Self {
        Self { store: Some(store), options, failed_at: None, version: 0 }
    }

    /// Carries out requests until nobody can make more, or it is told to close.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            let turn = std::iter::once(request).chain(requests.try_iter()).take(TURN_MAX).collect();
            if self.carry_out(turn) {
                return;
            }
        }
        self.sync_before_end();
    }

    /// Reads are answered as they come, with what this turn has changed so far; changes, when they are stored. Whether
    /// this was the last turn.
    fn carry_out(&mut self, requests: Vec<Request>) -> bool {
        self.reopen();
        let Some(store) = &mut self.store else {
            requests.into_iter().for_each(refuse);
            return false;
        };
        let mut turn = Turn::default();
        let mut closing = Vec::new();
        let mut result = Ok(());
        for request in requests {
            match request {
                Request::Get(key, answer) => drop(answer.send(turn.get(store, &key).map_err(unavailable))),
                Request::Swap(swap, answer) => match turn.swap(store, *swap, self.options.consumers_max) {
                    Ok(swapped) => turn.answers.push((swapped, answer)),
                    Err(fault) => drop(answer.send(Err(unavailable(fault)))),
                },
                Request::List(query, answer) => {
                    // A list is of what is stored.
                    result = result.and_then(|()| turn.store(store));
                    drop(answer.send(store.list(&query).map_err(unavailable)));
                }
                Request::Close(answer) => closing.push(answer),
            }
        }
        if let Err(fault) = result.and_then(|()| turn.store(store)) {
            tracing::error!(error = &fault as &dyn std::error::Error, path = %store.path().display(), "cannot write consumers");
            turn.fail();
            self.version = store.version;
            self.store = None;
            self.failed_at = Some(Instant::now());
        }
        let close = !closing.is_empty();
        if close {
            self.sync_before_end();
            for answer in closing {
                drop(answer.send(Ok(())));
            }
        }
        close
    }

    /// After a failure the database refuses everything until it is opened again.
    fn reopen(&mut self) {
        if self.store.is_some() || self.failed_at.is_some_and(|at| at.elapsed() < self.options.retry_every.get()) {
            return;
        }
        match Store::open(&self.options) {
            Ok(mut store) => {
                store.version = store.version.max(self.version);
                tracing::info!("the store of consumers is open again");
                (self.store, self.failed_at) = (Some(store), None);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot open the store of consumers again");
                self.failed_at = Some(Instant::now());
            }
        }
    }

    fn sync_before_end(&self) {
        if let Some(Err(fault)) = self.store.as_ref().map(Store::sync) {
            tracing::error!(error = &fault as &dyn std::error::Error, "cannot sync the store of consumers");
        }
    }
}

impl Turn {
    fn get(&self, store: &Store, key: &Key) -> Result<Option<(Version, Progress)>, Fault> {
        match self.records.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => store.get(key),
        }
    }

    fn swap(&mut self, store: &mut Store, swap: Swap, consumers_max: usize) -> Result<Swapped, Fault> {
        let found = self.get(store, &swap.key)?.map(|(version, _)| version);
        if found != swap.expected {
            return Ok(Swapped::Conflict);
        }
        let count = store.by_tenant.entry(swap.key.tenant.clone()).or_default();
        match (found, &swap.progress) {
            (None, Some(_)) if *count >= consumers_max => return Ok(Swapped::Full),
            (None, Some(_)) => *count += 1,
            (Some(_), None) => *count -= 1,
            _ => {}
        }
        store.version += 1;
        let version = Version(store.version);
        self.commit |= swap.commit;
        self.records.insert(swap.key, swap.progress.map(|progress| (version, progress)));
        Ok(Swapped::Done(version))
    }

    /// Stores what was changed and answers.
    fn store(&mut self, store: &Store) -> Result<(), Fault> {
        if !self.records.is_empty() {
            store.put(&self.records, self.commit)?;
        }
        self.records.clear();
        self.commit = false;
        for (swapped, answer) in self.answers.drain(..) {
            drop(answer.send(Ok(swapped)));
        }
        Ok(())
    }

    fn fail(&mut self) {
        for (_, answer) in self.answers.drain(..) {
            drop(answer.send(Err(closed_for_now())));
        }
    }
}

fn refuse(request: Request) {
    match request {
        Request::Get(_, answer) => drop(answer.send(Err(closed_for_now()))),
        Request::Swap(_, answer) => drop(answer.send(Err(closed_for_now()))),
        Request::List(_, answer) => drop(answer.send(Err(closed_for_now()))),
        Request::Close(answer) => drop(answer.send(Ok(()))),
    }
}

fn unavailable(fault: Fault) -> Error {
    tracing::error!(error = &fault as &dyn std::error::Error, "cannot read consumers");
    Error::Unavailable(fault.into())
}

fn closed_for_now() -> Error {
    Error::Unavailable("the store failed and is opened again soon".into())
}
