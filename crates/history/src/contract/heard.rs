//! Who listens to the announcements of a log under test.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Event, TopicKey};
use tokio::sync::watch;

use crate::{Announce, Reset};

/// How long an announcement may take in a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// Remembers what a log announced.
pub struct Heard(watch::Sender<Inner>);

#[derive(Default)]
struct Inner {
    events: HashMap<TopicKey, Vec<Arc<Event>>>,
    resets: Vec<Reset>,
}

impl Default for Heard {
    fn default() -> Self {
        Self(watch::Sender::new(Inner::default()))
    }
}

impl Heard {
    /// The events that were announced of a topic, in the order of the announcements.
    pub fn events(&self, topic: &TopicKey) -> Vec<Arc<Event>> {
        self.0.borrow().events.get(topic).cloned().unwrap_or_default()
    }

    /// The same as soon as it is so many, or after a time that is long for a test.
    pub async fn until_events(&self, topic: &TopicKey, count: usize) -> Vec<Arc<Event>> {
        self.until(|inner| inner.events.get(topic).map_or(0, Vec::len) >= count).await;
        self.events(topic)
    }

    /// The resets that were announced.
    pub fn resets(&self) -> Vec<Reset> {
        self.0.borrow().resets.clone()
    }

    /// The same as soon as it is so many, or after a time that is long for a test.
    pub async fn until_resets(&self, count: usize) -> Vec<Reset> {
        self.until(|inner| inner.resets.len() >= count).await;
        self.resets()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.send_replace(Inner::default());
    }

    async fn until(&self, done: impl Fn(&Inner) -> bool) {
        let mut news = self.0.subscribe();
        // Who is not content in time looks at what there is and says what is missing.
        let _ = tokio::time::timeout(PATIENCE, news.wait_for(|inner| done(inner))).await;
    }
}

impl Announce for Heard {
    fn stored(&self, events: &[Arc<Event>]) {
        self.0.send_modify(|inner| {
            for event in events {
                inner.events.entry(event.topic.clone()).or_default().push(Arc::clone(event));
            }
        });
    }

    fn reset(&self, reset: &Reset) {
        self.0.send_modify(|inner| inner.resets.push(reset.clone()));
    }
}
