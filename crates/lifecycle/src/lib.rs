//! Life and death of a process, and of the tasks in it (design section 9).
//!
//! A [`Lifecycle`] is made once in `main` and passed to whoever needs it; there is no global. It says
//! when to drain (soft stop), when to stop at once (hard stop), whether the process is ready, and it is
//! the only way to start a task: every task has a name and a [`TaskKind`], and the kind says what an
//! error or a panic in it means. What fails for a while is tried again after the waits of a [`Backoff`].

mod backoff;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use backoff::Backoff;

/// What an error or a panic in a task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Serves one client connection. A panic ends that connection and is logged.
    Connection,
    /// Work that may fail without harm to the rest. A panic is logged.
    Background,
    /// Without it the node does not do its work. Its end before the stop, or a panic, stops the node.
    Critical,
}

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Opening engines; not ready.
    Starting,
    /// Serving.
    Running,
    /// Told to stop: not ready, clients are being sent away.
    Draining,
    /// Everything must end now.
    Stopping,
}

/// The life of this process. Clones are handles to the same life.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

struct Inner {
    soft: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    phase: watch::Sender<Phase>,
    failed: AtomicBool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life that has just begun.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                soft: CancellationToken::new(),
                hard: CancellationToken::new(),
                tracker: TaskTracker::new(),
                phase: watch::Sender::new(Phase::Starting),
                failed: AtomicBool::new(false),
            }),
        }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.inner.phase.borrow()
    }

    /// From now on the process is ready, unless it was told to stop before.
    pub fn started(&self) {
        self.advance(Phase::Running);
    }

    /// Begins the soft stop: clients are told to come back elsewhere.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
        self.inner.soft.cancel();
    }

    /// Stops at once.
    pub fn stop(&self) {
        self.advance(Phase::Stopping);
        self.inner.soft.cancel();
        self.inner.hard.cancel();
    }

    fn advance(&self, to: Phase) {
        self.inner.phase.send_if_modified(|phase| {
            let later = to > *phase;
            if later {
                *phase = to;
            }
            later
        });
    }

    /// Cancelled when the soft stop begins.
    pub fn soft(&self) -> &CancellationToken {
        &self.inner.soft
    }

    /// Cancelled when everything must end.
    pub fn hard(&self) -> &CancellationToken {
        &self.inner.hard
    }

    /// Whether a critical task has failed; the process then exits with an error.
    pub fn failed(&self) -> bool {
        self.inner.failed.load(Ordering::SeqCst)
    }

    /// Starts `future` on the current runtime.
    pub fn spawn<F>(&self, kind: TaskKind, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = Watched { future, guard: Guard { life: self.clone(), kind, name, armed: true } };
        #[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
        drop(tokio::spawn(self.inner.tracker.track_future(task)));
    }

    fn fail(&self, name: &'static str, why: &'static str) {
        tracing::error!(task = name, why, "critical task failed, stopping the node");
        self.inner.failed.store(true, Ordering::SeqCst);
        self.drain();
    }

    /// How many tasks are running.
    pub fn tasks(&self) -> usize {
        self.inner.tracker.len()
    }

    /// Waits until every task has ended.
    pub async fn ended(&self) {
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("phase", &self.phase()).field("tasks", &self.tasks()).finish()
    }
}

pin_project! {
    /// A task's future. Written by hand, because an `async` block around it would hold it twice, and there may be a
    /// million connections.
    struct Watched<F> {
        #[pin]
        future: F,
        guard: Guard,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        ready!(this.future.poll(cx));
        this.guard.armed = false;
        if this.guard.kind == TaskKind::Critical && this.guard.life.phase() < Phase::Draining {
            this.guard.life.fail(this.guard.name, "ended before the stop");
        }
        Poll::Ready(())
    }
}

/// Applies the kind's policy when a task panics, of which it learns by being dropped while armed. A task that is dropped with its runtime does not count:
/// then the process is stopping anyway.
struct Guard {
    life: Lifecycle,
    kind: TaskKind,
    name: &'static str,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed || !std::thread::panicking() {
            return;
        }
        match self.kind {
            TaskKind::Critical => self.life.fail(self.name, "panicked"),
            TaskKind::Connection | TaskKind::Background => tracing::error!(task = self.name, "task panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_critical_task_that_panics_stops_the_node() {
        let life = Lifecycle::new();
        life.started();
        life.spawn(TaskKind::Critical, "breaks", async { panic!("on purpose") });
        life.soft().cancelled().await;
        assert!(life.failed());
        assert_eq!(life.phase(), Phase::Draining);
        life.ended().await;
    }

    #[tokio::test]
    async fn a_connection_that_panics_ends_alone() {
        let life = Lifecycle::new();
        life.started();
        life.spawn(TaskKind::Connection, "breaks", async { panic!("on purpose") });
        life.ended().await;
        assert!(!life.failed());
        assert_eq!(life.phase(), Phase::Running);
    }

    #[test]
    fn phases_only_go_forward() {
        let life = Lifecycle::new();
        life.drain();
        life.started();
        assert_eq!(life.phase(), Phase::Draining);
        life.stop();
        assert!(life.hard().is_cancelled());
    }
}
