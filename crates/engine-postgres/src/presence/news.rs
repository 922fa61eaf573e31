//! That there is something new in the feeds of shards.

use std::sync::Arc;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use sqlx::Row as _;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bell::{Bell, Channel};
use crate::columns;
use crate::error::Failure;
use crate::metrics::Call;
use crate::options::Options;
use crate::server::{Server, SharedServer};

/// Knows the last position of each shard's feed, from this node's own changes and from others', who ring a bell.
pub(super) struct News {
    last: Arc<[watch::Sender<u64>]>,
    bell: Bell,
    /// Ends the task that looks.
    _stop: DropGuard,
}

impl News {
    pub(super) fn start(server: &SharedServer, options: &Options, shards: u16, life: &Lifecycle) -> Self {
        let stop = CancellationToken::new();
        let wake = Arc::new(Notify::new());
        let bell = Bell::start(server, options, Channel::Presence, Arc::clone(&wake), &stop, life);
        let last: Arc<[watch::Sender<u64>]> = (0..shards).map(|_| watch::Sender::new(0)).collect();
        let (server, every, ended) = (Arc::clone(server), options.poll_idle.get(), life.hard().clone());
        let (known, stopped) = (Arc::clone(&last), stop.clone());
        life.spawn(TaskKind::Background, "look for changes of presence", async move {
            let look = async {
                loop {
                    // What cannot be seen now is seen at the next look.
                    let _ = look(&server, &known).await;
                    let _ = tokio::time::timeout(every, wake.notified()).await;
                }
            };
            tokio::select! {
                () = look => {}
                () = stopped.cancelled() => {}
                () = ended.cancelled() => {}
            }
        });
        Self { last, bell, _stop: stop.drop_guard() }
    }

    /// This node has made the change at `position`.
    pub(super) fn changed(&self, shard: u16, position: u64) {
        raise(&self.last, usize::from(shard), position);
        self.bell.ring();
    }

    /// The last position that is known of; 0 if none is.
    pub(super) fn last(&self, shard: u16) -> u64 {
        self.last.get(usize::from(shard)).map_or(0, |last| *last.borrow())
    }

    /// Waits until there is something after a position; `false` if there was nothing in time.
    pub(super) async fn beyond(&self, shard: u16, after: u64, until: Instant) -> bool {
        let Some(last) = self.last.get(usize::from(shard)) else { return false };
        let mut last = last.subscribe();
        matches!(tokio::time::timeout_at(until, last.wait_for(|last| *last > after)).await, Ok(Ok(_)))
    }
}

fn raise(last: &[watch::Sender<u64>], shard: usize, position: u64) {
    if let Some(last) = last.get(shard) {
        last.send_if_modified(|last| {
            let is_later = position > *last;
            *last = position.max(*last);
            is_later
        });
    }
}

async fn look(server: &Server, last: &[watch::Sender<u64>]) -> Result<(), Failure> {
    let mut connection = server.borrow(Call::Presence).await?;
    let rows =
        server.limit(sqlx::query("SELECT shard, position FROM presence_shard").fetch_all(&mut *connection)).await;
    for row in connection.done(rows)? {
        let shard = usize::try_from(row.try_get::<i32, _>("shard")?).map_err(|_| Failure::Damaged("shard"))?;
        raise(last, shard, columns::count(row.try_get("position")?));
    }
    Ok(())
}
