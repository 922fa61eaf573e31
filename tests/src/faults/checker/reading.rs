//! One reader's view of one topic.

use std::collections::{HashMap, HashSet};

use super::log::Index;
use super::observation::{Place, Reason};
use super::violation::{Broken, Violations};

/// What a reader was given since it began, or since it was told that the log is another.
#[derive(Debug, Default)]
struct Life {
    epoch: Option<u32>,
    /// The offset after which it reads; `None`: from the oldest that is kept.
    after: Option<u64>,
    /// The offset that it has come to.
    at: Option<u64>,
    given: Vec<(u64, String)>,
    /// Events that it was told are trimmed.
    trimmed: Vec<(u64, u64)>,
}

/// One reader's view of one topic.
#[derive(Debug)]
pub(super) struct Reading {
    who: String,
    is_dense: bool,
    life: Life,
    /// Lives before, which ended with a word: how, and what was given in them.
    past: Vec<(Reason, Vec<(Place, String)>)>,
    ids: HashMap<String, Place>,
}

impl Reading {
    pub(super) fn new(reader: u32, topic: &str, after: Option<Place>, is_dense: bool) -> Self {
        let life = Life {
            epoch: after.map(|place| place.epoch),
            after: after.map(|place| place.offset),
            at: after.map(|place| place.offset),
            ..Life::default()
        };
        let who = format!("reader {reader}, {topic}");
        Self { who, is_dense, life, past: Vec::new(), ids: HashMap::new() }
    }

    pub(super) fn event(&mut self, place: Place, id: &str, violations: &mut Violations) {
        let (who, life) = (&self.who, &mut self.life);
        if life.epoch.is_some_and(|epoch| epoch != place.epoch) {
            violations.add(Broken::Untold, || format!("{who}: {place} of another epoch without a gap"));
            // One breach, one word: go on from here.
            *life = Life { after: Some(place.offset - 1), at: Some(place.offset - 1), ..Life::default() };
        }
        match life.at {
            Some(at) if place.offset <= at => {
                let again = life.given.binary_search_by_key(&place.offset, |(offset, _)| *offset);
                let broken = match again {
                    Ok(index) if life.given[index].1 != id => Broken::Untold,
                    Ok(_) => Broken::Duplicate,
                    Err(_) => Broken::Backwards,
                };
                violations.add(broken, || format!("{who}: {place} ({id}) after offset {at}"));
                return;
            }
            Some(at) if self.is_dense && place.offset != at + 1 => {
                violations.add(Broken::Hole, || format!("{who}: {place} follows offset {at}"));
            }
            _ => {}
        }
        if let Some(before) = self.ids.insert(id.to_owned(), place).filter(|before| *before != place) {
            violations.add(Broken::TwoPlaces, || format!("{who}: {id} at {before} and at {place}"));
        }
        life.epoch = Some(place.epoch);
        life.at = Some(place.offset);
        life.given.push((place.offset, id.to_owned()));
    }

    pub(super) fn gap(&mut self, from: u64, to: u64, reason: Reason, place: Place, violations: &mut Violations) {
        let who = &self.who;
        match reason {
            Reason::Trimmed => {
                let joins = self.life.at.is_none_or(|at| from > at && (!self.is_dense || from == at + 1));
                if !joins || to < from || place.offset != to {
                    let at = self.life.at;
                    violations.add(Broken::CrookedGap, || format!("{who}: {from}..{to} to {place}, being at {at:?}"));
                }
                self.life.epoch = Some(place.epoch);
                self.life.at = Some(to.max(self.life.at.unwrap_or(0)));
                self.life.trimmed.push((from, to));
            }
            Reason::Epoch | Reason::Fork => {
                let next = Life {
                    epoch: Some(place.epoch),
                    after: Some(place.offset),
                    at: Some(place.offset),
                    ..Life::default()
                };
                let past = std::mem::replace(&mut self.life, next);
                if reason == Reason::Epoch && past.epoch == Some(place.epoch) {
                    violations.add(Broken::FalseGap, || format!("{who}: the epoch is still {place}"));
                }
                let epoch = past.epoch.unwrap_or(place.epoch);
                let given = past.given.into_iter().map(|(offset, id)| (Place { epoch, offset }, id));
                self.past.push((reason, given.collect()));
                self.ids.clear();
            }
            Reason::Other => {
                violations.add(Broken::FalseGap, || format!("{who}: {from}..{to} for a reason that nobody asked for"));
            }
        }
    }

    /// Compares what it was given with the log at the end. `lost` says whether the topic lost events on the way, which
    /// makes a fork true.
    pub(super) fn finish(&self, log: &Index<'_>, lost: bool, violations: &mut Violations) {
        let (who, life) = (&self.who, &self.life);
        for (reason, given) in &self.past {
            let is_true = match reason {
                // The log must be another than the one it had, which a later life of the same epoch would belie.
                Reason::Epoch => given.first().is_none_or(|(place, _)| place.epoch != log.log.epoch),
                _ => lost,
            };
            if !is_true {
                violations.add(Broken::FalseGap, || format!("{who}: {reason:?}, but the log lost nothing"));
            }
        }
        if life.epoch.is_some_and(|epoch| epoch != log.log.epoch) {
            violations.add(Broken::Untold, || format!("{who}: was never told of the epoch {:x}", log.log.epoch));
            return;
        }
        for &(from, to) in &life.trimmed {
            if to >= log.first() {
                violations.add(Broken::FalseGap, || format!("{who}: {from}..{to} is trimmed, yet {to} is kept"));
            }
        }
        self.compare(log, violations);
    }

    fn compare(&self, log: &Index<'_>, violations: &mut Violations) {
        let (who, life) = (&self.who, &self.life);
        // One that was given nothing must lack nothing: of what is kept, if it began with the oldest.
        let kept = log.above(life.after.unwrap_or(0));
        let given: HashMap<u64, &str> = life.given.iter().map(|(offset, id)| (*offset, id.as_str())).collect();
        let last_given = life.at.unwrap_or(0);
        for entry in kept {
            match given.get(&entry.offset) {
                Some(id) if *id == entry.id => {}
                Some(id) => {
                    violations.add(Broken::Untold, || {
                        format!("{who}: {id} at {}, where the log has {}", entry.offset, entry.id)
                    });
                }
                None if entry.offset > last_given => {
                    let ended = || format!("{who}: ends at {last_given}, the log has {} ({})", entry.offset, entry.id);
                    violations.add(Broken::EndMissing, ended);
                    break;
                }
                None => violations.add(Broken::Hole, || format!("{who}: lacks {} ({})", entry.offset, entry.id)),
            }
        }
        // What it has and the log has not, where nothing is trimmed, was taken back without a word.
        let offsets: HashSet<u64> = kept.iter().map(|entry| entry.offset).collect();
        for (offset, id) in life.given.iter().filter(|(offset, _)| *offset >= log.first()) {
            if !offsets.contains(offset) {
                violations.add(Broken::Untold, || format!("{who}: {id} at {offset}, which the log does not have"));
            }
        }
    }
}
