//! The records in a directory.

mod codec;
mod store;
mod writer;

use std::path::PathBuf;

use async_trait::async_trait;
use crossbeam_channel::{Sender, TrySendError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::cursors::{Cursors, Key, ListPage, ListQuery, Swap, Swapped, Version};
use crate::{Error, Options, Progress};
use store::Store;
use writer::{Request, Writer};

/// Why a store cannot be opened, for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A value of the options is wrong.
    #[error("{0}")]
    Options(String),
    /// Another process has it open.
    #[error("the store of consumers in {path} is in use by another process; give each its own directory")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// A record cannot be read.
    #[error(
        "the store of consumers in {path} is damaged or was written by a later version: {what}; restore it from a \
         backup, or move the directory away to let every consumer begin anew"
    )]
    Damaged {
        /// Which directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The directory cannot be made, read or written.
    #[error("cannot use {path} for the store of consumers: {source}; see that it is writable and its disk has space")]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// [`Cursors`] in a directory. One thread reads and writes; what waits for it meanwhile is stored by one write, so that
/// a hundred acknowledgements cost one `fsync`.
pub struct EmbeddedCursors {
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl EmbeddedCursors {
    /// Opens the store in [`Options::path`], or makes it. Blocks.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        options.validate().map_err(OpenError::Options)?;
        let store = Store::open(options)?;
        let (sender, requests) = crossbeam_channel::bounded(options.queue_max);
        let writer = Writer::new(store, options.clone());
        let thread = std::thread::Builder::new().name("consumers".to_owned()).spawn(move || writer.run(&requests));
        let unusable =
            |source: std::io::Error| OpenError::Unusable { path: options.path.clone(), source: source.into() };
        let thread = thread.map_err(unusable)?;
        Ok(Self { requests: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands a request to the thread.
    fn send(&self, request: Request) -> Result<(), Error> {
        match self.requests.lock().as_ref().ok_or(Error::Closed)?.try_send(request) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Error::Overloaded),
            Err(TrySendError::Disconnected(_)) => Err(Error::Closed),
        }
    }

    /// Hands a request to the thread and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(request(answer))?;
        answered.await.unwrap_or(Err(Error::Closed))
    }
}

#[async_trait]
impl Cursors for EmbeddedCursors {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn survives_restart(&self) -> bool {
        true
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.ask(|answer| Request::Get(key.clone(), answer)).await
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.ask(|answer| Request::Swap(Box::new(swap), answer)).await
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.ask(|answer| Request::List(query, answer)).await
    }

    async fn close(&self) -> Result<(), Error> {
        let (answer, closed) = oneshot::channel();
        let sent = self.send(Request::Close(answer));
        *self.requests.lock() = None;
        match sent {
            Ok(()) => closed.await.unwrap_or(Ok(())),
            // Closed before.
            Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for EmbeddedCursors {
    /// Ends the thread when it has answered what waits; then the directory is free.
    fn drop(&mut self) {
        *self.requests.lock() = None;
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}
