//! Decides whether a run kept the promises, from what its publishers and readers wrote down.
//!
//! A [`Checker`] takes [`Observation`]s one by one, as they happen, and says at the end, given the [`Log`] of every
//! topic, which promises were broken ([`Broken`]). It costs a hash lookup an observation. What a run may lose, because
//! its engine says so, is an [`Allowance`] given by the scenario and never guessed from the outcome.

mod log;
mod observation;
mod publishing;
mod reading;
mod violation;

pub use log::{Entry, Log};
pub use observation::{Observation, Outcome, Place, Reason};
pub use violation::{Broken, Violation};

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use log::Index;
use publishing::Publishing;
use reading::Reading;
use violation::Violations;

/// After a revocation was confirmed, what is on its way may still arrive for so long.
const AFTER_REVOCATION_MAX: Duration = Duration::from_secs(2);

/// What a run may lose.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    /// The engine's offsets have holes.
    pub sparse: bool,
    /// Events that were acknowledged between these times may be lost: their engine was about to lose its end.
    windows: Vec<(Duration, Option<Duration>)>,
}

impl Allowance {
    /// For an engine that loses nothing.
    pub fn nothing(sparse: bool) -> Self {
        Self { sparse, windows: Vec::new() }
    }

    fn may_lose(&self, acknowledged: Duration) -> bool {
        let within =
            |(from, to): &(Duration, Option<Duration>)| acknowledged >= *from && to.is_none_or(|to| acknowledged <= to);
        self.windows.iter().any(within)
    }
}

/// Two events at one place, of which the log may keep one.
#[derive(Debug)]
struct Clash {
    place: Place,
    ids: [String; 2],
}

#[derive(Debug, Default)]
struct Topic {
    publishing: Publishing,
    places: HashMap<Place, String>,
    clashes: Vec<Clash>,
    readings: BTreeMap<u32, Reading>,
    /// What was seen, to be vouched for when all publishers have spoken.
    seen: HashMap<(Place, String), u64>,
}

/// The run so far.
#[derive(Debug, Default)]
pub struct Checker {
    allowance: Allowance,
    topics: BTreeMap<String, Topic>,
    revoked: HashMap<u32, Duration>,
    violations: Violations,
    figures: Figures,
}

/// How much a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Events that readers were given.
    pub delivered: usize,
    /// Gaps that readers were told of.
    pub gaps: usize,
    /// Acknowledged events that are not in the log, within what the run may lose.
    pub lost: usize,
    /// Breaches.
    pub violations: usize,
}

impl Checker {
    /// A run that has not begun.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, ..Self::default() }
    }

    /// From `at` on, what is acknowledged may be lost.
    pub fn may_lose_from(&mut self, at: Duration) {
        self.allowance.windows.push((at, None));
    }

    /// What is acknowledged after `at` is kept again.
    pub fn may_lose_until(&mut self, at: Duration) {
        if let Some((_, to)) = self.allowance.windows.last_mut() {
            *to = Some(at);
        }
    }

    /// Takes down what happened.
    pub fn observe(&mut self, observation: Observation) {
        match observation {
            Observation::Published { topic, id, hash, invoked, outcome } => {
                let topic = self.topics.entry(topic).or_default();
                if let Outcome::Acknowledged { place, .. } = outcome {
                    self.figures.acknowledged += 1;
                    topic.is_at(place, &id);
                }
                topic.publishing.published(id, hash, invoked, outcome);
            }
            Observation::Began { reader, topic, after } => {
                let reading = Reading::new(reader, &topic, after, !self.allowance.sparse);
                self.topics.entry(topic).or_default().readings.insert(reader, reading);
            }
            Observation::Event { reader, topic, place, id, hash, at } => {
                self.figures.delivered += 1;
                if let Some(revoked) = self.revoked.get(&reader).filter(|revoked| at > **revoked + AFTER_REVOCATION_MAX)
                {
                    let detail = || format!("reader {reader}: {id} at {at:?}, revoked at {revoked:?}");
                    self.violations.add(Broken::AfterRevocation, detail);
                }
                let found = self.topics.entry(topic.clone()).or_default();
                found.is_at(place, &id);
                if let Some(before) = found.seen.insert((place, id.clone()), hash).filter(|before| *before != hash) {
                    let detail = || format!("reader {reader}, {topic}: {id} is {hash:x} and was {before:x}");
                    self.violations.add(Broken::Altered, detail);
                }
                let dense = !self.allowance.sparse;
                let new = || Reading::new(reader, &topic, None, dense);
                found.readings.entry(reader).or_insert_with(new).event(place, &id, &mut self.violations);
            }
            Observation::Gap { reader, topic, from, to, reason, place } => {
                self.figures.gaps += 1;
                let dense = !self.allowance.sparse;
                let new = || Reading::new(reader, &topic, None, dense);
                let readings = &mut self.topics.entry(topic.clone()).or_default().readings;
                readings.entry(reader).or_insert_with(new).gap(from, to, reason, place, &mut self.violations);
            }
            Observation::Revoked { reader, at } => {
                self.revoked.insert(reader, at);
            }
        }
    }

    /// Takes down who is there and who is said to be there, when it has had time to settle.
    pub fn present<'a>(
        &mut self,
        what: &str,
        truth: impl IntoIterator<Item = &'a str>,
        said: impl IntoIterator<Item = &'a str>,
    ) {
        let (mut truth, mut said): (Vec<_>, Vec<_>) = (truth.into_iter().collect(), said.into_iter().collect());
        truth.sort_unstable();
        said.sort_unstable();
        if truth != said {
            let missing = truth.iter().filter(|one| !said.contains(one)).count();
            let detail = || format!("{what}: {} are there, {} said to be, {missing} missing", truth.len(), said.len());
            self.violations.add(Broken::Presence, detail);
        }
    }

    /// Says what was broken, given every topic's log at the end.
    pub fn finish(mut self, logs: &BTreeMap<String, Log>) -> Verdict {
        let empty = Log { epoch: 0, entries: Vec::new() };
        for (name, topic) in &self.topics {
            let log = Index::of(logs.get(name).unwrap_or(&empty));
            topic.finish(name, &log, &self.allowance, &self.revoked, &mut self.violations);
            let acknowledged = topic.publishing.acknowledged();
            self.figures.lost += acknowledged
                .filter(|(id, place, ..)| place.offset >= log.first() && log.place_of(id).is_none())
                .count();
        }
        self.figures.violations = self.violations.count();
        Verdict { violations: self.violations.all().to_vec(), figures: self.figures }
    }
}

impl Topic {
    fn is_at(&mut self, place: Place, id: &str) {
        let before = self.places.entry(place).or_insert_with(|| id.to_owned());
        if before != id {
            self.clashes.push(Clash { place, ids: [before.clone(), id.to_owned()] });
        }
    }

    fn finish(
        &self,
        name: &str,
        log: &Index<'_>,
        allowed: &Allowance,
        revoked: &HashMap<u32, Duration>,
        violations: &mut Violations,
    ) {
        let lost = !allowed.windows.is_empty() && self.publishing.lost_something(log);
        for Clash { place, ids } in &self.clashes {
            // A fork gives a place to another event: true only of a log that lost its end.
            if !lost {
                violations.add(Broken::TwoAtOnePlace, || format!("{name}: {ids:?} at {place}"));
            }
        }
        for ((place, id), hash) in &self.seen {
            self.publishing.vouch(name, *place, id, *hash, violations);
        }
        let (mut before, mut time) = (0, 0);
        let mut ids = HashMap::new();
        for entry in &log.log.entries {
            let place = Place { epoch: log.log.epoch, offset: entry.offset };
            self.publishing.vouch(name, place, &entry.id, entry.hash, violations);
            if entry.offset <= before {
                violations.add(Broken::Backwards, || format!("the log of {name}: {} after {before}", entry.offset));
            } else if !allowed.sparse && before > 0 && entry.offset != before + 1 {
                violations.add(Broken::Hole, || format!("the log of {name}: {} after {before}", entry.offset));
            }
            if entry.time < time {
                violations.add(Broken::TimeBackwards, || {
                    format!("the log of {name}: {} at {} after {time}", entry.offset, entry.time)
                });
            }
            (before, time) = (entry.offset, entry.time);
            if let Some(first) = ids.insert(&entry.id, entry.offset) {
                violations
                    .add(Broken::TwoPlaces, || format!("the log of {name}: {} at {first} and {before}", entry.id));
            }
        }
        self.publishing.finish(name, log, allowed, violations);
        // One whose rights ended has no claim to the rest.
        for (_, reading) in self.readings.iter().filter(|(reader, _)| !revoked.contains_key(reader)) {
            reading.finish(log, lost, violations);
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Breaches: the first of each kind.
    pub violations: Vec<Violation>,
    /// How much was done.
    pub figures: Figures,
}

impl Verdict {
    /// The kinds of promises that were broken, each once, in their order.
    pub fn broken(&self) -> Vec<Broken> {
        let mut kinds: Vec<_> = self.violations.iter().map(|violation| violation.broken).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
