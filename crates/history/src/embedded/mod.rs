//! The log in a directory, for one process.
//!
//! One thread writes (group commit, see `writer`), a few threads read, and fjall keeps the data. Where to
//! begin reading: `store` has the layout, `phase` is what happens to an append, `life` why offsets are never
//! used again, `mend` what happens when the disk fails.

mod codec;
mod dedup;
mod event;
mod fault;
mod home;
mod journal;
mod key;
mod life;
mod mend;
mod options;
mod phase;
mod pool;
mod queue;
mod read;
mod store;
mod topic;
mod topics;
mod trim;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use fanfare_model::{Clock, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::oneshot;

use crate::metrics::Handles;
use crate::{
    Admin, Announce, Append, Appended, Capabilities, Durability, Error, Head, Log, Page, Read, TopicPage, TopicsQuery,
};
use home::Home;
use pool::{Pool, Request};
use queue::{Batch, Job, Queue};
use store::Store;
use topics::Topics;
use writer::{Slot, Writer};

pub use home::OpenError;
pub use options::Options;

/// The log of every topic, in a directory.
///
/// Appends of `buffered` and of `none` are acknowledged when the operating system has them; `none` promises
/// less than that. Dropping it without [`Log::close`] is like a crash of the process: nothing that was
/// acknowledged is lost.
pub struct EmbeddedLog {
    event_bytes_max: usize,
    queue: Arc<Queue>,
    metrics: Arc<Handles>,
    writer: Option<JoinHandle<()>>,
    // From here on in the order in which they must go: readers, what they read, the lock of the directory.
    pool: Pool,
    slot: Arc<Slot>,
    _home: Arc<Home>,
}

impl EmbeddedLog {
    /// Opens the store in [`Options::path`], or makes one there. Blocks: it reads the journal, which may take
    /// seconds after a crash.
    pub fn open(options: Options, clock: Arc<dyn Clock>, announce: Arc<dyn Announce>) -> Result<Self, OpenError> {
        options.validate().map_err(OpenError::Options)?;
        let home = Arc::new(Home::enter(&options.path)?);
        let (store, life) = Store::open(&home, &options, &clock, false)?;
        home.settle()?;
        let metrics = Arc::new(Handles::new());
        let queue = Arc::new(Queue::new(&options, Arc::clone(&metrics)));
        let slot = Arc::new(RwLock::new(None));
        let no_thread = |source| home.not_writable(source);
        let pool = Pool::start(&options, &slot, &clock).map_err(no_thread)?;
        let event_bytes_max = options.event_bytes_max.as_usize();
        let store = Arc::new(store);
        let writer = Writer {
            home: Arc::clone(&home),
            topics: Topics::new(options.topics_cached_max),
            options,
            clock,
            announce,
            queue: Arc::clone(&queue),
            slot: Arc::clone(&slot),
            metrics: Arc::clone(&metrics),
            store: Some(Arc::clone(&store)),
            life,
            trouble: None,
        };
        writer.publish(&store);
        drop(store);
        let thread = std::thread::Builder::new().name("history-write".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(no_thread)?;
        Ok(Self { event_bytes_max, queue, metrics, writer: Some(writer), pool, slot, _home: home })
    }

    /// Has the writer do something and waits for its answer.
    async fn written<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        self.queue.push(job(sender))?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Has a reader do something and waits for its answer.
    async fn found<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        self.pool.submit(request(sender))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn truncate_before(&self, topic: TopicKey, before: u64) -> Result<Head, Error> {
        loop {
            let (head, more) = self.written(|answer| Job::Truncate(topic.clone(), before, answer)).await??;
            if !more {
                return Ok(head);
            }
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.queue.stop();
        if let Some(writer) = self.writer.take() {
            // Who announces may hold the last reference to the log, on the writer's own thread.
            if writer.thread().id() != std::thread::current().id() {
                drop(writer.join());
            }
        }
        *self.slot.write() = None;
    }
}

impl Log for EmbeddedLog {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "embedded",
            durability_max: Durability::Committed,
            survives_restart: true,
            event_bytes_max: self.event_bytes_max,
        }
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(async move {
            let count = batch.len();
            if count == 0 {
                return Vec::new();
            }
            let since = Instant::now();
            match self.written(|answer| Job::Append(Batch { items: batch, since, answer })).await {
                Ok(answers) => answers,
                Err(Error::Overloaded) => (0..count).map(|_| Err(Error::Overloaded)).collect(),
                Err(_) => (0..count).map(|_| Err(Error::Closed)).collect(),
            }
        })
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(self.found(|answer| Request::Heads(topics, answer)))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(async move {
            let since = Instant::now();
            let page = self.found(|answer| Request::Read(Box::new(read), answer)).await;
            self.metrics.read_seconds.record(since.elapsed());
            page
        })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(self.found(|answer| Request::Topics(query, answer)))
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(async move {
            match change {
                Admin::Purge(topic) => self.written(|answer| Job::Purge(topic, answer)).await?,
                Admin::TruncateBefore(topic, before) => self.truncate_before(topic, before).await,
            }
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let mut removed = 0;
            loop {
                let (count, more) = self.written(Job::Sweep).await??;
                removed += count;
                if !more {
                    return Ok(removed);
                }
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.written(Job::Close).await? })
    }
}

#[cfg(test)]
mod tests;
