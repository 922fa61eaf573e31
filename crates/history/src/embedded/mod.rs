//! The log in a directory, for one process.
//!
//! One thread writes (group commit, see `writer`): it gives events their places (`phase`), writes them to the
//! write-ahead log (`wal`) and keeps them in memory (`memory`). Another moves what is recent to the store now and then
//! (`mover`, `moving`), where fjall keeps it in pages (`store`, `page`). A few threads read both (`read`). `life` is why
//! offsets are never used again, `mend` what happens when the disk fails, `opening` what happens after a crash.

mod due;
mod fault;
mod home;
mod ids;
mod journal;
mod key;
mod life;
mod memory;
mod mend;
mod mover;
mod moving;
mod open_batch;
mod opening;
mod options;
mod page;
mod phase;
mod pool;
mod queue;
mod read;
mod store;
mod topic;
mod topics;
mod trim;
mod wal;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use fanfare_model::{Clock, TopicKey};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::metrics::Handles;
use crate::{
    Admin, Announce, Append, Appended, Capabilities, Durability, Error, Failover, Head, Log, Page, Read, Restore,
    Retention, Stretch, TimeOf, TopicPage, TopicsQuery, Window,
};
use home::Home;
use memory::Shared;
use mover::Mover;
use opening::Opened;
use pool::{Pool, Request};
use queue::{Batch, Job, Queue};
use writer::Writer;

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
    mover: Arc<Mover>,
    mover_thread: Option<JoinHandle<()>>,
    // From here on in the order in which they must go: readers, what they read, the lock of the directory.
    pool: Pool,
    shared: Arc<Shared>,
    _home: Arc<Home>,
    #[cfg(test)]
    fail_sync: Arc<std::sync::atomic::AtomicBool>,
}

impl EmbeddedLog {
    /// Opens the store in [`Options::path`], or makes one there. Blocks: it reads the journals, which may take
    /// seconds after a crash.
    pub fn open(options: Options, clock: Arc<dyn Clock>, announce: Arc<dyn Announce>) -> Result<Self, OpenError> {
        options.validate().map_err(OpenError::Options)?;
        let home = Arc::new(Home::enter(&options.path)?);
        let Opened { shared, life, wal, filter } = opening::open(&home, &options, &clock, false, &|| false)?;
        let metrics = Arc::new(Handles::new());
        let queue = Arc::new(Queue::new(&options, Arc::clone(&metrics)));
        let no_thread = |source| home.not_writable(source);
        let pool = Pool::start(&options, &shared, &clock).map_err(no_thread)?;
        let mover = Mover::new(
            Arc::clone(&home),
            options.clone(),
            Arc::clone(&clock),
            Arc::clone(&shared),
            Arc::clone(&filter),
        );
        let event_bytes_max = options.event_bytes_max.as_usize();
        #[cfg(test)]
        let fail_sync = Arc::clone(&wal.fail_sync);
        let writer = Writer {
            home: Arc::clone(&home),
            topics: topics::Topics::new(options.topics_cached_max),
            options,
            clock,
            announce,
            queue: Arc::clone(&queue),
            shared: Arc::clone(&shared),
            mover: Arc::clone(&mover),
            metrics: Arc::clone(&metrics),
            life,
            ids: ids::Ids::new(filter),
            due: due::Due::default(),
            wal,
            frame: wal::Frame::new(),
            since: Instant::now(),
            trouble: None,
        };
        let mover_thread = Some(mover.start().map_err(no_thread)?);
        let thread = std::thread::Builder::new().name("history-write".to_owned());
        let writer = thread.spawn(move || writer.run()).inspect_err(|_| mover.stop()).map_err(no_thread)?;
        Ok(Self {
            event_bytes_max,
            queue,
            metrics,
            writer: Some(writer),
            mover,
            mover_thread,
            pool,
            shared,
            _home: home,
            #[cfg(test)]
            fail_sync,
        })
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
        self.mover.stop();
        for thread in [self.writer.take(), self.mover_thread.take()].into_iter().flatten() {
            // Who announces may hold the last reference to the log, on the writer's own thread.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
        self.shared.write().base = None;
    }
}

impl Restore for EmbeddedLog {
    fn restore(&self, stretch: Stretch) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.written(|answer| Job::Restore(stretch, answer)).await? })
    }
}

impl Log for EmbeddedLog {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "embedded",
            durability_max: Durability::Committed,
            survives_restart: true,
            event_bytes_max: self.event_bytes_max,
            failover: Failover::None,
            dense: true,
            retention: Retention::PerAppend,
            bounds_bytes: true,
            truncates: true,
            window: Window::PerAppend,
            time: TimeOf::Node,
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
            let (mut removed, mut after) = (0, None);
            loop {
                let (count, next) = self.written(|answer| Job::Sweep(after, answer)).await??;
                removed += count;
                if next.is_none() {
                    return Ok(removed);
                }
                after = next;
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.written(Job::Close).await? })
    }
}

#[cfg(test)]
mod tests;
