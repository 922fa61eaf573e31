//! Who listens to the announcements of a log under test.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_model::{Event, TopicKey};
use parking_lot::Mutex;

use crate::{Announce, Reset};

/// Remembers what a log announced.
#[derive(Default)]
pub struct Heard(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    events: HashMap<TopicKey, Vec<Arc<Event>>>,
    resets: Vec<Reset>,
}

impl Heard {
    /// The events that were announced of a topic, in the order of the announcements.
    pub fn events(&self, topic: &TopicKey) -> Vec<Arc<Event>> {
        self.0.lock().events.get(topic).cloned().unwrap_or_default()
    }

    /// The resets that were announced.
    pub fn resets(&self) -> Vec<Reset> {
        self.0.lock().resets.clone()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.0.lock() = Inner::default();
    }
}

impl Announce for Heard {
    fn stored(&self, events: &[Arc<Event>]) {
        let mut inner = self.0.lock();
        for event in events {
            inner.events.entry(event.topic.clone()).or_default().push(Arc::clone(event));
        }
    }

    fn reset(&self, reset: &Reset) {
        self.0.lock().resets.push(reset.clone());
    }
}
