//! The threads that read, so that a slow disk never blocks who serves connections.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use fanfare_model::{Clock, TopicKey};
use tokio::sync::oneshot;

use super::fault::Fault;
use super::memory::Shared;
use super::options::Options;
use super::read;
use crate::metrics::{Operation, store_error};
use crate::{Error, Head, Page, Read, TopicPage, TopicsQuery};

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What can be read.
pub(super) enum Request {
    Heads(Vec<TopicKey>, Answer<Vec<Head>>),
    Read(Box<Read>, Answer<Page>),
    Topics(TopicsQuery, Answer<TopicPage>),
}

/// The threads that read, and what waits for them.
pub(super) struct Pool {
    requests: Option<Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn start(options: &Options, shared: &Arc<Shared>, clock: &Arc<dyn Clock>) -> std::io::Result<Self> {
        let (sender, requests) = crossbeam_channel::bounded(options.read_queue_max);
        let mut pool = Self { requests: Some(sender), threads: Vec::new() };
        for number in 0..options.read_threads {
            let reader = Reader { requests: requests.clone(), shared: Arc::clone(shared), clock: Arc::clone(clock) };
            let thread = std::thread::Builder::new().name(format!("history-read-{number}"));
            pool.threads.push(thread.spawn(move || reader.run())?);
        }
        Ok(pool)
    }

    /// Hands a request to a thread, unless too many wait.
    pub(super) fn submit(&self, request: Request) -> Result<(), Error> {
        match self.requests.as_ref().map(|requests| requests.try_send(request)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Error::Overloaded),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(Error::Closed),
        }
    }
}

impl Drop for Pool {
    /// Ends the threads when they have answered what waits.
    fn drop(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                // A thread that panicked has said so.
                drop(thread.join());
            }
        }
    }
}

struct Reader {
    requests: Receiver<Request>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl Reader {
    fn run(self) {
        for request in &self.requests {
            // Whoever does not wait for the answer any more does not miss it.
            match request {
                Request::Heads(topics, answer) => {
                    let heads = self.read(|shared| topics.iter().map(|topic| read::head(shared, topic)).collect());
                    drop(answer.send(heads));
                }
                Request::Read(request, answer) => {
                    drop(answer.send(self.read(|shared| read::read_page(shared, &request, self.clock.now()))));
                }
                Request::Topics(query, answer) => drop(answer.send(self.read(|shared| read::topics(shared, &query)))),
            }
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Shared) -> Result<T, Fault>) -> Result<T, Error> {
        let found = read(&self.shared);
        found.map_err(|fault| {
            if !matches!(fault, Fault::Waiting) {
                tracing::error!(error = &fault as &dyn std::error::Error, "cannot read events");
                store_error(Operation::Read);
            }
            fault.into()
        })
    }
}
