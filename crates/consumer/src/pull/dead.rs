//! Events that were given out too often go to the dead-letter topic of their policy.

use std::sync::Arc;

use fanfare_bus::{DeadLetter, ReadFrom};
use fanfare_model::{Event, EventId, TopicKey};
use futures_util::future::try_join_all;

use super::Pull;
use super::find::{missing_to, same_log};
use crate::handle::key;
use crate::{Error, Handle, Stretch};

/// So many are put away with one change of the record.
const BURIED_MAX: usize = 100;

impl Handle {
    /// Puts away the first of what is due and was given out as often as it may be; false if there is nothing. The letters
    /// are published before the record is changed, under ids of their own, so that each is there once, whatever happens
    /// in between.
    pub(super) async fn bury_the_dead(&self, pull: &Pull) -> Result<bool, Error> {
        if !self.is_dead(&pull.topic, Stretch::worn_out()) {
            return Ok(false);
        }
        let key = key(&pull.topic, &pull.consumer);
        let Some((version, mut progress)) = self.shared.engine.get(&key).await? else { return Ok(false) };
        let now = self.shared.clock.now();
        let expired = progress.expire(now);
        let Some(dead) = progress.due().filter(|due| self.is_dead(&pull.topic, *due)) else { return Ok(false) };
        let page = self.read(&pull.topic, ReadFrom::Offset(dead.first), BURIED_MAX).await?;
        let mut events = page.events;
        let cut = events.last().filter(|_| page.more).map_or(dead.last, |event| event.offset.min(dead.last));
        events.retain(|event| event.offset <= cut);
        // What is missing is told before the rest is put away.
        if !same_log(&progress, &page.head.last) || missing_to(dead, &events).is_some() {
            return Ok(false);
        }
        try_join_all(events.iter().map(|event| self.bury(pull, event, dead.deliveries))).await?;
        progress.bury(dead, cut, now);
        if self.swap(&key, Some(version), Some(progress), true).await?.is_some() {
            self.shared.metrics.expired.increment(expired as u64);
            self.shared.metrics.dead.increment(events.len() as u64);
        }
        Ok(true)
    }

    async fn bury(&self, pull: &Pull, event: &Arc<Event>, deliveries: u32) -> Result<(), Error> {
        let seed = format!("{}\0{}\0{}", pull.topic.topic, pull.consumer, event.position());
        let id = format!("dead-{:032x}", xxhash_rust::xxh3::xxh3_128(seed.as_bytes()));
        let id = EventId::new(id).expect("37 letters and digits");
        let letter = DeadLetter {
            topic: &pull.topic,
            draft: &event.draft,
            position: Some(event.position()),
            reason: &format!("consumer {} was given it {deliveries} times", pull.consumer),
            at: None,
        };
        if !self.bus.bury(id, letter).await? {
            tracing::warn!(topic = %pull.topic.topic, offset = event.offset, "a dead letter does not fit in its topic");
        }
        Ok(())
    }

    /// Whether this stretch was given out as often as it may be.
    pub(super) fn is_dead(&self, topic: &TopicKey, due: Stretch) -> bool {
        let most = self.shared.options.deliveries_max;
        most > 0 && due.deliveries >= most && self.bus.dead_letter_topic(&topic.topic).is_some()
    }

    /// Whether this stretch is given out for the last time.
    pub(super) fn is_last_time(&self, topic: &TopicKey, due: Stretch) -> bool {
        self.is_dead(topic, Stretch { deliveries: due.deliveries.saturating_add(1), ..due })
    }
}

impl Stretch {
    /// One that was given out more often than any limit allows.
    fn worn_out() -> Self {
        Self { first: 1, last: 1, deliveries: u32::MAX, gap: None }
    }
}
