//! Which topics the sweep is to look at, and from when: the list in the store and what has changed since.

use std::collections::BTreeMap;

use fanfare_model::{Timestamp, TopicKey};

use super::fault::Fault;
use super::key::{self, TopicId};
use super::store::Base;

/// When a topic is due, and its number.
pub(super) type DueAt = (Timestamp, TopicId);

/// The topics that are due some time.
#[derive(Default)]
pub(super) struct Due {
    recent: BTreeMap<DueAt, TopicKey>,
    /// Those that are being moved to the store.
    moving: BTreeMap<DueAt, TopicKey>,
}

impl Due {
    /// A topic's number and time have changed.
    pub(super) fn moved(
        &mut self,
        topic: &TopicKey,
        before: (TopicId, Option<Timestamp>),
        after: (TopicId, Option<Timestamp>),
    ) {
        if before == after {
            return;
        }
        if let (number, Some(at)) = before {
            self.recent.remove(&(at, number));
        }
        if let (number, Some(at)) = after {
            self.recent.insert((at, number), topic.clone());
        }
    }

    pub(super) fn begin_move(&mut self) {
        self.moving = std::mem::take(&mut self.recent);
    }

    /// The store has those that were moving.
    pub(super) fn end_move(&mut self) {
        self.moving.clear();
    }

    /// Up to `max` topics that may be due, after this place in the list. Some are not any more: their records know.
    pub(super) fn until(
        &self,
        base: &Base,
        now: Timestamp,
        after: Option<DueAt>,
        max: usize,
    ) -> Result<BTreeMap<DueAt, TopicKey>, Fault> {
        let begin = after.map_or((Timestamp::from_micros(i64::MIN), 0), |(at, number)| (at, number.saturating_add(1)));
        let end = (now, TopicId::MAX);
        let mut found = BTreeMap::new();
        if begin > end {
            return Ok(found);
        }
        for entry in base.due(key::due(begin.0, begin.1)..=key::due(end.0, end.1)).take(max) {
            let (due, topic) = entry.into_inner()?;
            if let (Some(due), Some(topic)) = (key::read_due(&due), key::read_topic(&topic)) {
                found.insert(due, topic);
            }
        }
        for list in [&self.moving, &self.recent] {
            found.extend(list.range(begin..=end).take(max).map(|(due, topic)| (*due, topic.clone())));
        }
        while found.len() > max {
            found.pop_last();
        }
        Ok(found)
    }
}
