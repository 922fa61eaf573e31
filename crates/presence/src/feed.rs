//! Reading the feeds of the shards that this node owns: what changed is noted for those who watch, and for the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::{Fence, Hold};
use fanfare_lifecycle::Backoff;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::change::{Change, What};
use crate::diary::Origin;
use crate::handle::Inner;

/// The most changes that are read at a time.
const BATCH: usize = 512;
/// How long changes are left to gather after some were read: under load the engine is asked, and this task woken, once for
/// many of them. Who waits for a join to be logged does not notice.
const GATHER: Duration = Duration::from_millis(2);
/// How long to wait for a change.
const WAIT: Duration = Duration::from_secs(5);
/// The least time between two notes in the engine of how far a shard has come, so that a storm is not answered with as
/// many of them. Who enters on another node where joins are logged waits for such a note.
const FED_EVERY: Duration = Duration::from_millis(50);
/// How soon the engine is asked again after it has failed, at first and at last: all shards fail together.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(1));
/// How long a shard that is given up may take to come to an end. The next owner does again what is not done by then.
const FAREWELL: Duration = Duration::from_secs(1);

impl Inner {
    /// Reads every shard for as long as this node owns it, until `stop`.
    pub(crate) async fn read_feeds(&self, stop: &CancellationToken) {
        let mut owned = self.ownership.watch();
        let (mut running, mut shards) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            let now = Arc::clone(&owned.borrow_and_update());
            for (shard, fence) in now.iter() {
                if !stop.is_cancelled()
                    && !running.contains(shard)
                    && let Some(hold) = self.ownership.hold(*shard, *fence)
                {
                    running.insert(*shard);
                    shards.push(self.read_feed(*shard, hold, stop));
                }
            }
            tokio::select! {
                changed = owned.changed() => if changed.is_err() { return },
                Some(shard) = shards.next() => drop(running.remove(&shard)),
                () = stop.cancelled(), if shards.is_empty() => return,
            }
        }
    }

    /// Reads a shard until it is another node's, or `stop`. Returns which.
    async fn read_feed(&self, shard: u16, hold: Hold, stop: &CancellationToken) -> u16 {
        let reading = async {
            let began = self.begin(shard).await;
            self.go_on(shard, hold.fence(), began).await;
        };
        tokio::select! {
            () = reading => {}
            () = hold.over() => {
                self.come_to_an_end(shard).await;
                self.take_leave(shard, hold.fence()).await;
            }
            // Nothing is announced or logged any more.
            () = stop.cancelled() => self.take_leave(shard, hold.fence()).await,
        }
        shard
    }

    /// Where to go on: where the former owner has stopped. Where nobody else is, that is this node.
    async fn begin(&self, shard: u16) -> u64 {
        let mut backoff = RETRY;
        loop {
            match self.engine.fed_position(shard).await {
                Ok(fed) if self.outlives_node => {
                    self.progress.begin(shard, fed);
                    return fed;
                }
                Ok(fed) => return fed.max(self.progress.read_upto(shard)),
                Err(error) => tracing::warn!(shard, error = %error, "where the feed goes on is not known yet"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Returns only if another node owns the shard.
    async fn go_on(&self, shard: u16, fence: Fence, began: u64) {
        let (mut read, mut fed, mut fed_at) = (began, began, Instant::now());
        // What is there already a former owner may have seen.
        let mut doubtful = self.outlives_node;
        let mut backoff = RETRY;
        loop {
            self.diary.has_room(self.options.log_waiting_max).await;
            let wait = match () {
                () if doubtful => Duration::ZERO,
                () if read > fed => FED_EVERY,
                () => WAIT,
            };
            match self.engine.feed(shard, read, BATCH, wait).await {
                Ok(changes) => {
                    backoff.reset();
                    doubtful &= !changes.is_empty();
                    for (position, change) in &changes {
                        self.changed(change, Origin { shard, position: *position, fence, doubtful });
                    }
                    if let Some((last, _)) = changes.last() {
                        read = *last;
                        self.progress.has_read(shard, read);
                        if changes.len() < BATCH {
                            tokio::time::sleep(GATHER).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(shard, error = %error, "the feed of presence could not be read");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
            let done = self.progress.done_upto(shard);
            if done > fed && fed_at.elapsed() >= FED_EVERY {
                fed_at = Instant::now();
                match self.engine.fed(shard, fence, done).await {
                    Ok(true) => fed = done,
                    Ok(false) => return,
                    Err(error) => tracing::warn!(shard, error = %error, "how far the feed has come could not be noted"),
                }
            }
        }
    }

    /// Notes what is to be done about a change.
    fn changed(&self, change: &Change, origin: Origin) {
        match change.what {
            What::Joined(_) => self.metrics.joins.increment(1),
            What::Updated(_) => self.metrics.updates.increment(1),
            What::Left(_) => self.metrics.leaves.increment(1),
        }
        // A kind of topics that had presence when somebody entered, and has none any more: nobody watches.
        let Some(policy) = &self.bus.policy(&change.topic.topic).presence else { return };
        self.diary.note(change, policy, origin, &self.progress);
        if self.pending.add(change, (origin.shard, origin.position), policy.flush.get(), &self.progress) {
            self.to_announce.notify_one();
        }
    }

    /// Waits a moment until what was read is announced and logged.
    async fn come_to_an_end(&self, shard: u16) {
        let (mut steps, read) = (self.progress.steps(), self.progress.read_upto(shard));
        let done = steps.wait_for(|_| self.progress.done_upto(shard) >= read);
        drop(tokio::time::timeout(FAREWELL, done).await);
    }

    /// Notes for the next owner how far this one has come.
    async fn take_leave(&self, shard: u16, fence: Fence) {
        if !self.outlives_node {
            return;
        }
        let done = self.engine.fed(shard, fence, self.progress.done_upto(shard));
        if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, done).await {
            tracing::debug!(shard, error = %error, "how far the feed has come could not be noted");
        }
    }
}
