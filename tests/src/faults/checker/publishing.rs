//! What publishers were told of one topic.

use std::collections::HashMap;
use std::time::Duration;

use super::Allowance;
use super::log::Index;
use super::observation::{Outcome, Place};
use super::violation::{Broken, Violations};

#[derive(Debug)]
struct Publication {
    hash: u64,
    invoked: Duration,
    outcome: Outcome,
}

/// What was published to one topic.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    by_id: HashMap<String, Publication>,
}

impl Publishing {
    pub(super) fn published(&mut self, id: String, hash: u64, invoked: Duration, outcome: Outcome) {
        self.by_id.insert(id, Publication { hash, invoked, outcome });
    }

    /// Checks an event that somebody was given, or that is in the log.
    pub(super) fn vouch(&self, topic: &str, place: Place, id: &str, hash: u64, violations: &mut Violations) {
        match self.by_id.get(id) {
            None => violations.add(Broken::Phantom, || format!("{topic}: {id} at {place} was not published")),
            Some(publication) if publication.outcome == Outcome::Refused => {
                violations.add(Broken::Phantom, || format!("{topic}: {id} at {place} was refused"));
            }
            Some(publication) if publication.hash != hash => {
                violations.add(Broken::Altered, || format!("{topic}: {id} at {place}"));
            }
            Some(_) => {}
        }
    }

    /// Whether it was ever acknowledged, and where.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (&str, Place, Duration, Duration)> {
        self.by_id.iter().filter_map(|(id, publication)| match publication.outcome {
            Outcome::Acknowledged { place, at } => Some((id.as_str(), place, publication.invoked, at)),
            _ => None,
        })
    }

    /// Whether something was, or may have been, stored and is not in the log.
    pub(super) fn lost_something(&self, log: &Index<'_>) -> bool {
        self.by_id.iter().any(|(id, publication)| publication.outcome != Outcome::Refused && log.place_of(id).is_none())
    }

    /// Compares what was acknowledged with the log at the end.
    pub(super) fn finish(&self, topic: &str, log: &Index<'_>, allowed: &Allowance, violations: &mut Violations) {
        let mut kept = Vec::new();
        for (id, place, invoked, at) in self.acknowledged() {
            let is_trimmed = place.epoch == log.log.epoch && place.offset < log.first();
            match log.place_of(id) {
                Some(found) if found == place => kept.push((place.offset, invoked, at)),
                _ if is_trimmed || allowed.may_lose(at) => {}
                Some(found) => {
                    violations.add(Broken::TwoPlaces, || {
                        format!("{topic}: {id} was acknowledged at {place} and is at {found}")
                    });
                }
                None => {
                    violations.add(Broken::AckLost, || format!("{topic}: {id} was acknowledged at {place}, at {at:?}"));
                }
            }
        }
        // In the order of the log, nothing may have been acknowledged before something to its left was sent.
        kept.sort_unstable();
        let mut latest = (Duration::ZERO, 0);
        for (offset, invoked, at) in kept {
            if latest.0 > at {
                violations.add(Broken::OutOfTime, || {
                    format!(
                        "{topic}: {offset} was acknowledged at {at:?}, {} sent at {:?} lies before",
                        latest.1, latest.0
                    )
                });
            }
            latest = latest.max((invoked, offset));
        }
    }
}
