//! What each worker does for the hub: wake the readers that live on it.

use std::sync::Arc;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::hub::Hub;
use crate::tail::Tail;
use crate::walk::Walks;

/// Something for a worker to do.
pub(crate) enum Work {
    /// This tail has news for its readers here.
    Walk(Arc<Tail>),
    /// Close the hole in this tail.
    Fill(Arc<Tail>),
    /// Compare heads with the engine.
    CheckHeads,
}

/// What waits for a worker. Bounded by the number of tails: each is in it at most once for each kind of work, and
/// comparing heads is in it once.
#[derive(Default)]
pub(crate) struct Inbox {
    work: Mutex<Vec<Work>>,
    news: Notify,
}

impl Inbox {
    pub(crate) fn push(&self, work: Work) {
        let mut queue = self.work.lock();
        let is_check = |work: &Work| matches!(work, Work::CheckHeads);
        // A tail says itself whether it is waiting here already; an engine that flaps does not.
        if is_check(&work) && queue.iter().any(is_check) {
            return;
        }
        let first = queue.is_empty();
        queue.push(work);
        drop(queue);
        if first {
            self.news.notify_one();
        }
    }
}

/// How many readers a worker serves before it lets its other tasks run: about a millisecond of writes.
const STRIDE: usize = 256;

/// Serves the inbox of worker `index` until dropped. Must run on the runtime on which the readers of that worker
/// run, so that what they do stays on that core.
pub(crate) async fn run(hub: Arc<Hub>, index: usize, life: Lifecycle) {
    let inbox = &hub.inboxes[index];
    let mut work = Vec::new();
    let mut walks = Walks::new(index);
    loop {
        std::mem::swap(&mut *inbox.work.lock(), &mut work);
        if work.is_empty() && walks.are_over() {
            inbox.news.notified().await;
            continue;
        }
        for item in work.drain(..) {
            match item {
                Work::Walk(tail) => walks.begin(tail),
                Work::Fill(tail) => {
                    let hub = Arc::clone(&hub);
                    life.spawn(TaskKind::Background, "fill a hole", async move { hub.fill(&tail).await });
                }
                Work::CheckHeads => {
                    let (hub, stop) = (Arc::clone(&hub), life.hard().clone());
                    life.spawn(TaskKind::Background, "compare all heads", async move {
                        tokio::select! {
                            () = hub.resolve_doubts() => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
            }
        }
        walks.go_on(STRIDE);
        // Let others run before the next stride: publishers, new connections, readers that drain from their cursors.
        tokio::task::yield_now().await;
    }
}
