//! What lies between a broker under test and the hub of its node: it can lose, double and reorder.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fanfare_history::{Announce, Reset};
use fanfare_model::{Event, Position, TopicKey};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::faults::Faults;
use crate::broker::Receive;
use crate::hub::Hub;

/// Hears a broker for the hub of its node.
pub(super) struct Ear {
    /// The hub holds the broker, and the broker this.
    hub: Weak<Hub>,
    /// How many announcements came in of each topic.
    counts: watch::Sender<HashMap<TopicKey, usize>>,
    hearing: Mutex<Hearing>,
}

/// What becomes of announcements.
#[derive(Default)]
enum Hearing {
    /// They pass.
    #[default]
    Good,
    /// Some pass.
    Bad(Faults),
    /// None does.
    None,
}

impl Ear {
    pub(super) fn new(hub: &Arc<Hub>) -> Self {
        let counts = watch::Sender::new(HashMap::new());
        Self { hub: Arc::downgrade(hub), counts, hearing: Mutex::default() }
    }

    /// From now on announcements get lost, doubled and reordered.
    pub(super) fn lose(&self, seed: u64) {
        *self.hearing.lock() = Hearing::Bad(Faults::new(seed));
    }

    /// From now on nothing is heard.
    pub(super) fn be_deaf(&self) {
        *self.hearing.lock() = Hearing::None;
    }

    /// From now on all is well.
    pub(super) fn be_good(&self) {
        *self.hearing.lock() = Hearing::Good;
    }

    /// How many announcements of events of a topic came in.
    pub(super) fn count(&self, topic: &TopicKey) -> usize {
        self.counts.borrow().get(topic).copied().unwrap_or(0)
    }

    /// Waits until it is so many.
    pub(super) async fn until_count(&self, topic: &TopicKey, count: usize) {
        let mut news = self.counts.subscribe();
        let enough = news.wait_for(|counts| counts.get(topic).copied().unwrap_or(0) >= count);
        let enough = tokio::time::timeout(super::node::PATIENCE, enough).await;
        assert!(enough.is_ok(), "{count} announcements of {topic:?}, not {}", self.count(topic));
    }
}

impl Announce for Ear {
    fn stored(&self, events: &[Arc<Event>]) {
        let Some(hub) = self.hub.upgrade() else { return };
        self.counts.send_modify(|counts| {
            for event in events {
                *counts.entry(event.topic.clone()).or_default() += 1;
            }
        });
        let mut hearing = self.hearing.lock();
        match &mut *hearing {
            Hearing::None => {}
            Hearing::Good => {
                drop(hearing);
                hub.stored(events);
            }
            Hearing::Bad(faults) => {
                for event in events {
                    hub.stored(&faults.pass(event));
                }
            }
        }
    }

    fn reset(&self, reset: &Reset) {
        let is_deaf = matches!(*self.hearing.lock(), Hearing::None);
        if let (Some(hub), false) = (self.hub.upgrade(), is_deaf) {
            hub.reset(reset);
        }
    }
}

impl Receive for Ear {
    fn heard(&self, topic: &TopicKey, last: Position) {
        self.counts.send_modify(|counts| *counts.entry(topic.clone()).or_default() += 1);
        if let Some(hub) = self.hub.upgrade() {
            hub.heard(topic, last);
        }
    }

    fn lost(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.lost();
        }
    }
}
