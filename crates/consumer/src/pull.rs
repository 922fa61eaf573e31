//! A worker asks for events.

mod dead;
mod find;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Event, Gap, Position, Timestamp, TopicKey};

use crate::groups::Group;
use crate::handle::key;
use crate::{Error, Handle, LeaseId, Name, Progress, metrics};
use find::Found;
use wait::Wait;

/// A request for events.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Of which topic.
    pub topic: TopicKey,
    /// For which consumer. One that was never seen before is made, and begins at [`crate::Options::begin`].
    pub consumer: Name,
    /// At most so many events; 0 for 100. Not more than [`crate::Options::events_max`].
    pub limit: usize,
    /// How long to wait if there are none. Not longer than [`crate::Options::wait_max`].
    pub wait: Duration,
    /// How long they are leased; zero for 30 seconds. Not longer than [`crate::Options::lease_max`].
    pub lease: Duration,
}

/// Events that are the caller's until the lease ends.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The lease, to be shown with [`crate::Ack`]. Also one that has only a gap wants to be acknowledged, or the gap is
    /// told again. `None` if there is nothing.
    pub lease: Option<LeaseId>,
    /// The events, in the order of the log.
    pub events: Vec<Arc<Event>>,
    /// How often each event has been given out, this time included.
    pub deliveries: Vec<u32>,
    /// What lies before the first event, was never given out and is gone.
    pub gap: Option<Gap>,
    /// The position of the last event given out, or of the end of the gap; if there is nothing, of where new events are
    /// waited for.
    pub position: Position,
    /// Whether there are more already.
    pub more: bool,
}

/// When the caller does not say how many.
const LIMIT: usize = 100;
/// When the caller does not say how long.
const LEASE: Duration = Duration::from_secs(30);

/// What one look brought.
enum Look {
    /// Something for the caller.
    Found(Leased),
    /// Nothing now; at this time it is worth another look.
    Nothing { position: Position, due: Option<Timestamp> },
    /// Another node came in between.
    Again,
}

/// How often a look is tried when others come in between.
const TRIES: usize = 16;

impl Handle {
    /// Takes a lease on the next events, and waits for some if there are none. What is to be given out again comes
    /// before what is new; a batch has only one of both.
    ///
    /// Dropping the future leases nothing, unless it was about to be ready: then the lease runs until its time has
    /// passed.
    pub async fn pull(&self, pull: Pull) -> Result<Leased, Error> {
        self.check_history(&pull.topic)?;
        let options = &self.shared.options;
        let group = self.shared.groups.join(&key(&pull.topic, &pull.consumer));
        let _place = group.pull(options.pullers_max).ok_or(Error::TooManyPullers { most: options.pullers_max })?;
        let mut wait = Wait::begin(self, pull.wait.min(options.wait_max.get()));
        loop {
            // Whoever frees something after this is heard.
            let mut freed = std::pin::pin!(group.freed.notified());
            freed.as_mut().enable();
            let (position, due) = match self.look(&group, &pull).await? {
                Look::Found(leased) => return Ok(leased),
                Look::Nothing { position, due } => (position, due),
                Look::Again => return Err(Error::Overloaded),
            };
            if self.is_stopping() || !wait.for_news(&pull.topic, freed, due).await? {
                return Ok(Leased {
                    lease: None,
                    events: Vec::new(),
                    deliveries: Vec::new(),
                    gap: None,
                    position,
                    more: false,
                });
            }
        }
    }

    /// Looks for something to give out, until nobody comes in between.
    async fn look(&self, group: &Group, pull: &Pull) -> Result<Look, Error> {
        let _turn = group.turn.lock().await;
        while self.bury_the_dead(pull).await? {}
        for _ in 0..TRIES {
            match self.look_once(pull).await? {
                Look::Again => {}
                look => return Ok(look),
            }
        }
        Ok(Look::Again)
    }

    async fn look_once(&self, pull: &Pull) -> Result<Look, Error> {
        let key = key(&pull.topic, &pull.consumer);
        let (version, mut progress) = match self.shared.engine.get(&key).await? {
            Some((version, progress)) => (Some(version), progress),
            None => (None, self.begin(&pull.topic).await?),
        };
        let now = self.shared.clock.now();
        let expired = progress.expire(now);
        let found = self.find_events(pull, &mut progress, now).await?;
        if found.is_none() && version.is_some() && expired == 0 {
            return Ok(Look::Nothing { position: progress.frontier, due: progress.next_due(now) });
        }
        let (position, due) = (progress.frontier, progress.next_due(now));
        // That something was given out need not be on the disk: if the record is lost, it is given out again.
        if self.swap(&key, version, Some(progress), false).await?.is_none() {
            return Ok(Look::Again);
        }
        self.shared.metrics.expired.increment(expired as u64);
        Ok(found.map_or(Look::Nothing { position, due }, |found| Look::Found(self.give(found))))
    }

    /// What was found, for the caller.
    fn give(&self, found: Found) -> Leased {
        let Found { lease, events, deliveries, gap, position, more } = found;
        let handles = &self.shared.metrics;
        if deliveries > 1 { &handles.again } else { &handles.first }.increment(events.len() as u64);
        if let Some(gap) = gap {
            metrics::gap(gap.reason);
        }
        let deliveries = vec![deliveries; events.len()];
        Leased { lease: Some(lease), events, deliveries, gap, position, more }
    }
}

impl Pull {
    fn until(&self, lease_max: Duration, now: Timestamp) -> Timestamp {
        let lease = if self.lease.is_zero() { LEASE } else { self.lease };
        now.plus(lease.min(lease_max))
    }

    fn limit(&self, events_max: usize) -> usize {
        if self.limit == 0 { LIMIT } else { self.limit }.min(events_max)
    }
}

impl Progress {
    /// Whether another stretch may be given out, besides those that wait.
    fn has_room(&self, most: usize) -> bool {
        self.stretches() < most
    }
}
