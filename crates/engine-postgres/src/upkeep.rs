//! What a node does now and then for all.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Clock, Timestamp};
use parking_lot::Mutex;

use crate::bell::Bell;
use crate::error::Failure;
use crate::store::Store;
use crate::tail::Tail;

/// How often the tables of days are looked after.
const DAYS_EVERY: Duration = Duration::from_secs(600);
/// How often what passed by is forgotten: a table's turn comes every minute.
const PASSING_EVERY: Duration = Duration::from_secs(15);

/// Sweeps, and telling that something changed.
pub(crate) struct Upkeep {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) days_ahead: u16,
    pub(crate) dead_for: Duration,
    pub(crate) tail: Arc<Tail>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) done: Mutex<Done>,
}

/// When things were done last.
#[derive(Default)]
pub(crate) struct Done {
    days: Option<Timestamp>,
    passing: Option<Timestamp>,
}

impl Upkeep {
    /// Something was committed: everybody is to look.
    pub(crate) fn changed(&self) {
        self.tail.wake();
        self.bell.ring();
    }

    /// Lets go of what is too old; says how many events.
    pub(crate) async fn sweep(&self, store: &Store) -> Result<u64, Failure> {
        let now = self.clock.now();
        let due = |last: &mut Option<Timestamp>, every: Duration| {
            let due = last.is_none_or(|last| now.since(last) >= every);
            if due {
                *last = Some(now);
            }
            due
        };
        let (days, passing) = {
            let mut done = self.done.lock();
            (due(&mut done.days, DAYS_EVERY), due(&mut done.passing, PASSING_EVERY))
        };
        if days {
            store.keep_days(self.days_ahead, self.dead_for).await?;
        }
        if passing {
            store.sweep_passing().await?;
        }
        store.sweep().await
    }
}
