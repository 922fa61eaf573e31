//! How many sessions and subscriptions each user, address or tenant has now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;

use super::{Exceeded, Limit, Limits, Measure, Scope, Subject};

/// What one subject holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    connections: u32,
    subscriptions: u32,
}

impl Held {
    fn of(&mut self, measure: Measure) -> &mut u32 {
        if measure == Measure::Connections { &mut self.connections } else { &mut self.subscriptions }
    }
}

/// The counts of one scope. Only subjects that hold something are in it, so that it is as large as the node's number
/// of sessions allows.
pub(super) struct Counts {
    scope: Scope,
    connections_max: Option<u32>,
    subscriptions_max: Option<u32>,
    held: Mutex<HashMap<Subject, Held>>,
}

impl Counts {
    pub(super) fn new(scope: Scope, limits: &Limits) -> Self {
        Self {
            scope,
            connections_max: limits.connections.filter(|max| *max > 0),
            subscriptions_max: limits.subscriptions.filter(|max| *max > 0),
            held: Mutex::default(),
        }
    }

    /// Whether there is anything to count.
    pub(super) fn is_limited(&self) -> bool {
        self.connections_max.is_some() || self.subscriptions_max.is_some()
    }

    fn max(&self, measure: Measure) -> Option<u32> {
        if measure == Measure::Connections { self.connections_max } else { self.subscriptions_max }
    }

    /// Takes one more session or subscription.
    pub(super) fn take(&self, subject: &Subject, measure: Measure) -> Result<(), Exceeded> {
        let mut held = self.held.lock();
        let held = held.entry(subject.clone()).or_default().of(measure);
        // A limit is at least 1, so that a refusal leaves no entry of zeros behind.
        if self.max(measure).is_some_and(|max| *held >= max) {
            return Err(Exceeded { limit: Limit { scope: self.scope, measure }, retry_after: None });
        }
        *held += 1;
        Ok(())
    }

    /// Gives one back that was taken.
    pub(super) fn give_back(&self, subject: &Subject, measure: Measure) {
        let mut held = self.held.lock();
        if let Entry::Occupied(mut entry) = held.entry(subject.clone()) {
            *entry.get_mut().of(measure) -= 1;
            if *entry.get() == Held::default() {
                entry.remove();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> HashMap<Subject, (u32, u32)> {
        self.held.lock().iter().map(|(who, held)| (who.clone(), (held.connections, held.subscriptions))).collect()
    }
}
