//! The tail: one reader a node of all that is committed.

use std::sync::Arc;
use std::time::Duration;

use fanfare_history::{Head, Reset};
use fanfare_lifecycle::{Backoff, Lifecycle, TaskKind};
use fanfare_model::{Event, Timestamp, TopicKey};
use futures_util::StreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;
use crate::options::Options;
use crate::server::SharedServer;
use crate::snapshot::Snapshot;

/// Events that are told of at once; more are told of in several calls, so that few are in memory.
const CHUNK_EVENTS: usize = 256;
/// After so long without an event a node looks less often.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// The pauses before the connection is tried again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Who hears what the tail reads.
pub(crate) trait Hear: Send + Sync + 'static {
    /// Whether anybody is interested in anything.
    fn is_listening(&self) -> bool;
    /// Whether anybody is interested in this topic.
    fn wants(&self, topic: &TopicKey) -> bool;
    /// Events of one or several topics; of each in the order of offsets.
    fn stored(&self, events: &[Arc<Event>]);
    /// A topic has begun anew.
    fn reset(&self, reset: &Reset);
    /// Something may have been missed.
    fn lost(&self);
}

/// What a tail reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Everything.
    All,
    /// Only what applications published themselves, and only on one node at a time: the nodes tell of what they publish.
    Outside,
}

/// A handle to the tail's task, which ends with it.
pub(crate) struct Tail {
    wake: Arc<Notify>,
    flush: mpsc::Sender<oneshot::Sender<()>>,
    started: watch::Receiver<bool>,
    timeout: Duration,
}

impl Tail {
    pub(crate) fn start(
        server: SharedServer,
        options: &Options,
        reads: Reads,
        hear: Arc<dyn Hear>,
        wake: Arc<Notify>,
        stop: CancellationToken,
        life: &Lifecycle,
    ) -> Self {
        let (flush, flushes) = mpsc::channel(8);
        let (begun, started) = watch::channel(false);
        let timeout = server.timeout;
        let task = Task {
            server,
            reads,
            lock: format!("{}/relay", options.schema),
            hear,
            wake: Arc::clone(&wake),
            flushes,
            begun,
            poll_active: options.poll_active.get(),
            poll_idle: options.poll_idle.get(),
            missed: false,
            is_well: false,
        };
        let ended = life.hard().clone();
        life.spawn(TaskKind::Background, "read the tail of PostgreSQL", async move {
            tokio::select! {
                () = task.run() => {}
                () = stop.cancelled() => {}
                () = ended.cancelled() => {}
            }
        });
        Self { wake, flush, started, timeout }
    }

    /// Waits until it reads: what is committed from then on is heard. Whoever waits is listening already.
    pub(crate) async fn started(&self) -> Result<(), Failure> {
        self.wake();
        let mut started = self.started.clone();
        match tokio::time::timeout(self.timeout, started.wait_for(|started| *started)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::Slow),
        }
    }

    /// There is something new.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until everything that was committed before has been told of, if the server answers.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flush.send(done).await.is_ok() {
            // It is not flushed if there is no server; then heads will be compared.
            let _ = tokio::time::timeout(self.timeout, flushed).await;
        }
    }
}

struct Task {
    server: SharedServer,
    reads: Reads,
    /// What the advisory lock of the one who reads for all is named by.
    lock: String,
    hear: Arc<dyn Hear>,
    wake: Arc<Notify>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    begun: watch::Sender<bool>,
    poll_active: Duration,
    poll_idle: Duration,
    /// Whether something may have been missed since the last snapshot, because the connection broke.
    missed: bool,
    /// Whether the present connection has served at all.
    is_well: bool,
}

impl Task {
    async fn run(mut self) {
        let mut retry = RETRY;
        loop {
            self.is_well = false;
            if let Err(failure) = self.follow().await {
                tracing::warn!(error = %failure, source = ?std::error::Error::source(&failure), "the tail of PostgreSQL broke off");
            }
            self.missed = true;
            if self.is_well {
                retry.reset();
            }
            tokio::time::sleep(retry.next_wait()).await;
        }
    }

    /// Reads on one connection until it breaks.
    async fn follow(&mut self) -> Result<(), Failure> {
        let mut connection = self.server.connect().await?;
        let mut seen: Option<Snapshot> = None;
        let mut last_event = Instant::now();
        let mut waiting: Option<oneshot::Sender<()>> = None;
        loop {
            if seen.is_some() && !self.goes_on() {
                seen = None;
            }
            if let Some(snapshot) = &mut seen {
                if self.look(&mut connection, snapshot).await? {
                    last_event = Instant::now();
                }
            } else if self.hear.is_listening() {
                seen = self.begin(&mut connection).await?;
            }
            self.is_well = true;
            if let Some(done) = waiting.take() {
                // Whoever asked may be gone.
                let _ = done.send(());
            }
            let pause = if last_event.elapsed() < IDLE_AFTER { self.poll_active } else { self.poll_idle };
            tokio::select! {
                biased;
                Some(done) = self.flushes.recv() => waiting = Some(done),
                () = self.wake.notified() => last_event = Instant::now(),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether there still is anybody to read for: a node without readers costs the server nothing.
    fn goes_on(&self) -> bool {
        if self.hear.is_listening() {
            return true;
        }
        self.begun.send_replace(false);
        // Who has come before that may have been told that it reads, so it does; who comes now waits until it begins.
        let goes_on = self.hear.is_listening();
        if goes_on {
            self.begun.send_replace(true);
        }
        goes_on
    }

    /// The snapshot from which to read; `None` if another node reads for all.
    async fn begin(&mut self, connection: &mut PgConnection) -> Result<Option<Snapshot>, Failure> {
        if self.reads == Reads::Outside {
            let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))").bind(&self.lock);
            let held: bool = self.server.limit(lock.fetch_one(&mut *connection)).await?;
            if !held {
                self.begun.send_replace(true);
                return Ok(None);
            }
        }
        let text: String =
            self.server.limit(sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(connection)).await?;
        let snapshot = Snapshot::parse(&text).ok_or(Failure::Damaged("the snapshot"))?;
        self.begun.send_replace(true);
        if std::mem::take(&mut self.missed) {
            // A server that was restarted or promoted may use numbers of transactions again, so that nothing is
            // concluded from what was seen before; heads tell what was missed.
            self.server.metrics.reconnects.increment(1);
            self.hear.lost();
        }
        Ok(Some(snapshot))
    }

    /// Tells of everything that can be seen now and could not at `seen`, and moves that on. Whether there was anything.
    async fn look(&self, connection: &mut PgConnection, seen: &mut Snapshot) -> Result<bool, Failure> {
        let since = Instant::now();
        let outcome = self.look_once(connection, seen).await;
        self.server.metrics.called(Call::Tail, since.elapsed(), outcome.is_ok());
        outcome
    }

    async fn look_once(&self, connection: &mut PgConnection, seen: &mut Snapshot) -> Result<bool, Failure> {
        let query = match self.reads {
            Reads::All => sqlx::query(include_str!("tail/all.sql")),
            Reads::Outside => sqlx::query(include_str!("tail/outside.sql")),
        };
        let mut rows = query.bind(&seen.next).bind(&seen.open).fetch(connection);
        let (mut next, mut found) = (None, false);
        let mut chunk: Vec<Arc<Event>> = Vec::new();
        let (mut topic, mut wanted): (Option<TopicKey>, bool) = (None, false);
        let (mut attached, mut skipped) = (0, 0);
        loop {
            let row = match tokio::time::timeout(self.server.timeout, rows.next()).await {
                Ok(Some(row)) => row?,
                Ok(None) => break,
                Err(_) => return Err(Failure::Slow),
            };
            if next.is_none() {
                next = Snapshot::parse(row.try_get("snap")?);
            }
            let Some(offset) = row.try_get::<Option<i64>, _>("off")? else { continue };
            found = true;
            match columns::topic_key(&row, topic.as_ref()) {
                Ok(same) if topic.as_ref() == Some(&same) => {}
                Ok(other) => {
                    wanted = self.hear.wants(&other);
                    topic = Some(other);
                }
                Err(failure) => {
                    tracing::error!(error = %failure, "a topic in PostgreSQL cannot be read");
                    continue;
                }
            }
            let (Some(key), true) = (&topic, wanted) else {
                skipped += 1;
                continue;
            };
            attached += 1;
            if offset == 0 {
                self.tell(&mut chunk);
                let epoch = columns::epoch(row.try_get("epoch")?)?;
                self.hear.reset(&Reset { topic: key.clone(), head: Head::empty(epoch) });
                continue;
            }
            match event(&row, key) {
                Ok(event) => chunk.push(event),
                // Whoever reads this topic finds a hole, and the error when it asks for what is in it.
                Err(failure) => tracing::error!(error = %failure, "an event in PostgreSQL cannot be read"),
            }
            if chunk.len() >= CHUNK_EVENTS {
                self.tell(&mut chunk);
            }
        }
        self.tell(&mut chunk);
        *seen = next.ok_or(Failure::Damaged("the snapshot"))?;
        let metrics = &self.server.metrics;
        metrics.attached.increment(attached);
        metrics.skipped.increment(skipped);
        metrics.open.set(seen.open.len() as f64);
        Ok(found)
    }

    fn tell(&self, events: &mut Vec<Arc<Event>>) {
        if !events.is_empty() {
            self.hear.stored(events);
            events.clear();
        }
    }
}

fn event(row: &PgRow, topic: &TopicKey) -> Result<Arc<Event>, Failure> {
    Ok(Arc::new(Event {
        topic: topic.clone(),
        epoch: columns::epoch(row.try_get("epoch")?)?,
        offset: columns::count(row.try_get("off")?),
        prev: columns::count(row.try_get("prev")?),
        time: Timestamp::from_micros(row.try_get("time")?),
        draft: columns::draft(row)?,
    }))
}
