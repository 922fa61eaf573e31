//! A listener that remembers.

use std::collections::HashMap;

use fanfare_model::TopicKey;
use parking_lot::Mutex;

use super::told;
use crate::engine::{Change, Hear};

/// What was heard, of each topic, in order. Checks the chain of revisions while it listens.
#[derive(Default)]
pub(super) struct Heard(Mutex<HashMap<TopicKey, Vec<Change>>>);

impl Hear for Heard {
    fn changed(&self, change: &Change) {
        let mut topics = self.0.lock();
        let changes = topics.entry(change.topic.clone()).or_default();
        if let Some(before) = changes.last() {
            if before.count == 0 {
                assert!(change.rev > before.rev, "revisions never go back");
                assert_eq!(change.prev, 0, "it begins with nobody");
            } else {
                assert_eq!((change.prev, change.rev), (before.rev, before.rev + 1), "revisions grow by one");
            }
        } else {
            assert_eq!(change.prev, 0, "it begins with nobody");
        }
        changes.push(change.clone());
    }
}

impl Heard {
    pub(super) fn changes(&self, topic: &TopicKey) -> Vec<Change> {
        self.0.lock().get(topic).cloned().unwrap_or_default()
    }

    /// What happened, in short.
    pub(super) fn told(&self, topic: &TopicKey) -> Vec<String> {
        self.changes(topic).iter().map(|change| told(&change.what)).collect()
    }
}
