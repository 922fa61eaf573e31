//! Telling those who watch: one task, which sleeps until the next announcement is due.

use std::time::Duration;

use fanfare_model::TopicKey;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::diff::{Diff, SIGNAL};
use crate::error::Error;
use crate::handle::Inner;
use crate::pending::{Announcement, Due};

/// How long to wait before it is tried again, when the bus did not take an announcement.
const PAUSE: Duration = Duration::from_secs(1);
/// Announcements of so many topics are under way at once: each is one round trip to the engine.
const AT_ONCE: usize = 64;
/// How long to sleep when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

impl Inner {
    /// Until `stop`.
    pub(crate) async fn announce(&self, stop: &CancellationToken) {
        loop {
            let now = Instant::now();
            let told = stream::iter(self.pending.take_due(now)).map(|due| self.announce_topic(due));
            let failed = told.buffer_unordered(AT_ONCE).fold(false, async |failed, told| failed || !told).await;
            if failed && tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                return;
            }
            let next = self.pending.next_due().unwrap_or(now + LONG);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.to_announce.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Says whether it was taken. What was not is put back.
    async fn announce_topic(&self, mut due: Due) -> bool {
        for at in 0..due.announcements.len() {
            let told = match &due.announcements[at] {
                Announcement::Diff(diff) => self.tell(&due.topic, diff).await,
                Announcement::Everybody => match self.everybody(&due.topic).await {
                    Ok(diff) => self.tell(&due.topic, &diff).await,
                    Err(error) => {
                        tracing::warn!(topic = %due.topic.topic, error = %error, "the members could not be read again");
                        false
                    }
                },
            };
            if !told {
                due.announcements.drain(..at);
                self.pending.put_back(due, &self.progress);
                return false;
            }
        }
        self.progress.announced(due.since.0, due.since.1);
        true
    }

    async fn tell(&self, topic: &TopicKey, diff: &Diff) -> bool {
        match self.bus.signal(&topic.tenant, &topic.topic, SIGNAL, diff.to_data()).await {
            Ok(()) => self.metrics.diffs.increment(1),
            Err(error) => {
                tracing::warn!(topic = %topic.topic, error = %error, "a difference could not be announced");
                // One that is lost for good is noticed by the next.
                return !error.kind().retryable();
            }
        }
        true
    }

    /// All members as one difference. If they are too many for one message it is one that nobody can apply, so that they
    /// are read.
    async fn everybody(&self, topic: &TopicKey) -> Result<Diff, Error> {
        let bytes_max = self.options.page_bytes_max.as_usize();
        let all = self.engine.members(topic, None, usize::MAX, bytes_max).await?;
        let (rev, count, occupancy_only) = (all.rev, all.count, all.occupancy_only);
        let mut diff = Diff { prev: rev, rev, count, occupancy_only, ..Diff::default() };
        if all.next.is_none() {
            diff.prev = 0;
            diff.join = all.members;
        }
        Ok(diff)
    }
}
