//! The test of the tests: a history that keeps every promise passes, and each way of breaking one is found.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_tests::faults::checker::{
    Allowance, Broken, Checker, Entry, Log, Observation, Outcome, Place, Reason, Verdict,
};

const TOPIC: &str = "t";
const EPOCH: u32 = 7;
const LAST: u64 = 60;
/// The oldest that is kept at the end.
const FIRST: u64 = 11;
/// In the histories of a fork, what comes after this is lost.
const FORKED_AFTER: u64 = 40;

/// A whole run: what was observed, and the log at the end.
#[derive(Clone)]
struct Run {
    observations: Vec<Observation>,
    log: Log,
    allowance: Allowance,
    window: Option<(Duration, Duration)>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn place(offset: u64) -> Place {
    Place { epoch: EPOCH, offset }
}

fn id(offset: u64) -> String {
    format!("e{offset}")
}

/// Publishing takes 5 ms and a new event is sent every 2 ms, so that publications overlap.
fn published(offset: u64) -> Observation {
    let invoked = ms(offset * 2);
    let outcome = Outcome::Acknowledged { place: place(offset), at: invoked + ms(5) };
    Observation::Published { topic: TOPIC.to_owned(), id: id(offset), hash: offset * 31, invoked, outcome }
}

fn event(reader: u32, offset: u64) -> Observation {
    let (topic, at) = (TOPIC.to_owned(), ms(offset * 2 + 6));
    Observation::Event { reader, topic, place: place(offset), id: id(offset), hash: offset * 31, at }
}

fn began(reader: u32, after: Option<u64>) -> Observation {
    Observation::Began { reader, topic: TOPIC.to_owned(), after: after.map(place) }
}

fn gap(reader: u32, from: u64, to: u64, reason: Reason, place: Place) -> Observation {
    Observation::Gap { reader, topic: TOPIC.to_owned(), from, to, reason, place }
}

/// Two at a time are stored in the same microsecond.
fn time(offset: u64) -> u64 {
    offset / 2
}

fn entry(offset: u64) -> Entry {
    Entry { offset, id: id(offset), hash: offset * 31, time: time(offset) }
}

/// Readers 1 and 2 have everything, 3 begins after 20, and 4 is told that 5 to 10 are trimmed. Of event `e0` nobody
/// knows whether it was stored, and `e99` was refused.
fn sound() -> Run {
    let mut observations: Vec<Observation> = (1..=LAST).map(published).collect();
    for (number, outcome) in [(0, Outcome::Unknown), (99, Outcome::Refused)] {
        let (topic, invoked) = (TOPIC.to_owned(), ms(30));
        observations.push(Observation::Published { topic, id: id(number), hash: 0, invoked, outcome });
    }
    for reader in [1, 2] {
        observations.push(began(reader, None));
        observations.extend((1..=LAST).map(|offset| event(reader, offset)));
    }
    observations.push(began(3, Some(20)));
    observations.extend((21..=LAST).map(|offset| event(3, offset)));
    observations.push(began(4, None));
    observations.extend((1..=4).map(|offset| event(4, offset)));
    observations.push(gap(4, 5, 10, Reason::Trimmed, place(10)));
    observations.extend((11..=LAST).map(|offset| event(4, offset)));
    let log = Log { epoch: EPOCH, entries: (FIRST..=LAST).map(entry).collect() };
    Run { observations, log, allowance: Allowance::nothing(false), window: None }
}

/// The log loses 41 to 60 and gives their offsets to other events. Reader 1 had them and is told; reader 2 was away.
fn forked() -> Run {
    let mut run = sound();
    run.observations.retain(|seen| !matches!(seen, Observation::Event { .. } | Observation::Gap { .. }));
    let again = |offset: u64| (place(offset), format!("f{offset}"), offset * 37);
    run.log.entries = (1..=LAST).map(entry).collect();
    for offset in FORKED_AFTER + 1..=LAST {
        let (place, id, hash) = again(offset);
        run.log.entries[usize::try_from(offset - 1).expect("a small number")] =
            Entry { offset, id: id.clone(), hash, time: time(offset) };
        let (topic, invoked) = (TOPIC.to_owned(), ms(1000 + offset * 2));
        let outcome = Outcome::Acknowledged { place, at: invoked + ms(5) };
        run.observations.push(Observation::Published { topic, id, hash, invoked, outcome });
    }
    let after = |reader| {
        move |offset| {
            let (place, id, hash) = again(offset);
            Observation::Event { reader, topic: TOPIC.to_owned(), place, id, hash, at: ms(2000) }
        }
    };
    run.observations.extend((1..=LAST).map(|offset| event(1, offset)));
    run.observations.push(gap(1, 61, 40, Reason::Fork, place(0)));
    run.observations.extend((1..=FORKED_AFTER).map(|offset| event(1, offset)));
    run.observations.extend((FORKED_AFTER + 1..=LAST).map(after(1)));
    run.observations.extend((1..=FORKED_AFTER).map(|offset| event(2, offset)));
    run.observations.extend((FORKED_AFTER + 1..=LAST).map(after(2)));
    run.observations.retain(|seen| !matches!(seen, Observation::Began { reader: 3 | 4, .. }));
    run.window = Some((ms(FORKED_AFTER * 2 + 6), ms(900)));
    run
}

/// The log begins anew, which its engine says it may.
fn reborn() -> Run {
    let mut run = sound();
    run.observations.retain(|seen| !matches!(seen, Observation::Began { reader: 2..=4, .. }));
    run.observations.retain(|seen| !matches!(seen, Observation::Event { reader: 2..=4, .. } | Observation::Gap { .. }));
    let reborn = Place { epoch: EPOCH + 1, offset: 1 };
    run.log = Log { epoch: EPOCH + 1, entries: vec![Entry { offset: 1, id: "g1".to_owned(), hash: 5, time: 9 }] };
    let outcome = Outcome::Acknowledged { place: reborn, at: ms(1005) };
    let (topic, id, hash, invoked) = (TOPIC.to_owned(), "g1".to_owned(), 5, ms(1000));
    let published = Observation::Published { topic: topic.clone(), id: id.clone(), hash, invoked, outcome };
    run.observations.push(published);
    run.observations.push(gap(1, 61, 0, Reason::Epoch, Place { offset: 0, ..reborn }));
    run.observations.push(Observation::Event { reader: 1, topic, place: reborn, id, hash, at: ms(1010) });
    run.window = Some((ms(0), ms(900)));
    run
}

fn judge(run: &Run) -> Verdict {
    let mut checker = Checker::new(run.allowance.clone());
    if let Some((from, to)) = run.window {
        checker.may_lose_from(from);
        checker.may_lose_until(to);
    }
    for observation in &run.observations {
        checker.observe(observation.clone());
    }
    checker.finish(&BTreeMap::from([(TOPIC.to_owned(), run.log.clone())]))
}

/// Where reader `reader` was given `offset`.
fn index_of(run: &Run, reader: u32, offset: u64) -> usize {
    let wanted = |seen: &Observation| matches!(seen, Observation::Event { reader: r, place, .. } if *r == reader && place.offset == offset);
    run.observations.iter().position(wanted).expect("it was given")
}

fn change_published(run: &mut Run, offset: u64, change: impl Fn(&mut Duration, &mut Outcome)) {
    for observation in &mut run.observations {
        if let Observation::Published { id: found, invoked, outcome, .. } = observation
            && *found == id(offset)
        {
            change(invoked, outcome);
        }
    }
}

type Mutation = fn(&mut Run);

/// Each way to break `sound`, and what must be found.
const MUTANTS: [(&str, Broken, Mutation); 25] = [
    ("an event dropped at one reader", Broken::Hole, |run| {
        run.observations.remove(index_of(run, 1, 30));
    }),
    ("the first event dropped at a reader from the start", Broken::Hole, |run| {
        for offset in FIRST - 10..=FIRST {
            run.observations.remove(index_of(run, 2, offset));
        }
    }),
    ("the last event dropped: nobody notices a quiet tail", Broken::EndMissing, |run| {
        run.observations.remove(index_of(run, 2, LAST));
    }),
    ("an event given twice", Broken::Duplicate, |run| {
        let at = index_of(run, 1, 30);
        run.observations.insert(at, event(1, 30));
    }),
    ("an event of before a reconnect given again", Broken::Duplicate, |run| {
        let at = index_of(run, 1, 30);
        run.observations.insert(at, event(1, 12));
    }),
    ("one that was not asked for", Broken::Backwards, |run| {
        let at = index_of(run, 3, 30);
        run.observations.insert(at, event(3, 19));
    }),
    ("two events swapped", Broken::Hole, |run| {
        let at = index_of(run, 1, 30);
        run.observations.swap(at, at + 1);
    }),
    ("an offset of which two readers have different events", Broken::TwoAtOnePlace, |run| {
        let at = index_of(run, 1, 30);
        run.observations[at] =
            Observation::Event { reader: 1, topic: TOPIC.to_owned(), place: place(30), id: id(0), hash: 0, at: ms(99) };
    }),
    ("data that changed on the way", Broken::Altered, |run| {
        let at = index_of(run, 1, 30);
        if let Observation::Event { hash, .. } = &mut run.observations[at] {
            *hash += 1;
        }
    }),
    ("data that changed in the log", Broken::Altered, |run| run.log.entries[20].hash += 1),
    ("one event stored twice", Broken::TwoPlaces, |run| {
        run.log.entries.push(Entry { offset: LAST + 1, ..entry(LAST) });
    }),
    ("an acknowledged event that is nowhere", Broken::AckLost, |run| {
        let (topic, invoked) = (TOPIC.to_owned(), ms(300));
        let outcome = Outcome::Acknowledged { place: place(LAST + 1), at: ms(305) };
        run.observations.push(Observation::Published { topic, id: id(LAST + 1), hash: 1, invoked, outcome });
    }),
    ("a log that lost its end, and readers that never knew it", Broken::AckLost, |run| {
        run.log.entries.pop();
        run.observations.retain(|seen| !matches!(seen, Observation::Event { place, .. } if place.offset == LAST));
    }),
    ("an acknowledgement of another place", Broken::TwoPlaces, |run| {
        change_published(run, 30, |_, outcome| *outcome = Outcome::Acknowledged { place: place(31), at: ms(66) });
    }),
    ("an event before one that was acknowledged before it was sent", Broken::OutOfTime, |run| {
        change_published(run, 30, |invoked, outcome| {
            *invoked = ms(500);
            *outcome = Outcome::Acknowledged { place: place(30), at: ms(505) };
        });
    }),
    ("an event that nobody published", Broken::Phantom, |run| {
        run.log.entries.push(Entry { offset: LAST + 1, id: "x".to_owned(), hash: 1, time: 99 });
    }),
    ("an event that was refused", Broken::Phantom, |run| {
        run.log.entries.push(Entry { offset: LAST + 1, id: id(99), hash: 0, time: 99 });
    }),
    ("a hole in the log itself", Broken::Hole, |run| {
        run.log.entries.remove(20);
    }),
    ("a time that goes back", Broken::TimeBackwards, |run| run.log.entries[20].time = 1),
    ("a gap where everything is kept", Broken::FalseGap, |run| {
        let at = index_of(run, 1, 30);
        run.observations[at] = gap(1, 30, 30, Reason::Trimmed, place(30));
    }),
    ("a gap that leaves events out", Broken::CrookedGap, |run| {
        run.observations.remove(index_of(run, 4, 4));
    }),
    ("a fork that was none", Broken::FalseGap, |run| {
        let at = index_of(run, 1, 30);
        run.observations.insert(at, gap(1, 30, 29, Reason::Fork, place(29)));
    }),
    ("a new epoch that is none", Broken::FalseGap, |run| {
        let at = index_of(run, 1, 30);
        run.observations.insert(at, gap(1, 30, 29, Reason::Epoch, place(29)));
    }),
    ("events of another epoch without a word", Broken::Untold, |run| {
        for observation in &mut run.observations {
            if let Observation::Event { reader: 1, place, .. } = observation
                && place.offset > 50
            {
                place.epoch += 1;
            }
        }
    }),
    ("delivery after the rights had ended", Broken::AfterRevocation, |run| {
        run.observations.insert(0, Observation::Revoked { reader: 1, at: ms(1) });
        let at = index_of(run, 1, LAST);
        if let Observation::Event { at, .. } = &mut run.observations[at] {
            *at = ms(2500);
        }
    }),
];

/// Ways to break `forked`.
const MUTANTS_OF_A_FORK: [(&str, Broken, Mutation); 4] = [
    ("a reader that is not told of the fork", Broken::Untold, |run| {
        let told = run.observations.iter().position(|seen| matches!(seen, Observation::Gap { .. })).expect("a gap");
        let again = index_of(run, 2, 1);
        run.observations.drain(told..again);
    }),
    ("offsets used again under the feet of a reader", Broken::Untold, |run| {
        let told = run.observations.iter().position(|seen| matches!(seen, Observation::Gap { .. })).expect("a gap");
        run.observations.remove(told);
    }),
    ("more lost than the engine may", Broken::AckLost, |run| {
        run.window = Some((ms((FORKED_AFTER + 5) * 2 + 6), ms(900)));
    }),
    ("more lost than the engine may, later", Broken::AckLost, |run| {
        run.window = Some((ms(FORKED_AFTER * 2 + 6), ms(LAST * 2)));
    }),
];

#[test]
fn a_history_that_keeps_every_promise_passes() {
    for (name, run) in [("sound", sound()), ("forked", forked()), ("reborn", reborn())] {
        let verdict = judge(&run);
        assert!(verdict.violations.is_empty(), "{name}: {:#?}", verdict.violations);
        assert!(verdict.figures.acknowledged >= 60 && verdict.figures.delivered >= 60, "{name}: {:?}", verdict.figures);
    }
    assert_eq!(judge(&forked()).figures.lost, 20);
}

#[test]
fn every_mutant_is_found() {
    let of_sound = MUTANTS.iter().map(|mutant| (sound(), mutant));
    let of_forked = MUTANTS_OF_A_FORK.iter().map(|mutant| (forked(), mutant));
    for (mut run, (name, broken, mutate)) in of_sound.chain(of_forked) {
        mutate(&mut run);
        let verdict = judge(&run);
        assert!(verdict.broken().contains(broken), "{name}: {broken:?} was expected: {:#?}", verdict.violations);
    }
}

#[test]
fn a_rebirth_must_be_told() {
    let mut run = reborn();
    run.observations.retain(|seen| !matches!(seen, Observation::Gap { .. }));
    assert_eq!(judge(&run).broken(), [Broken::Untold]);
    let mut run = reborn();
    run.window = None;
    assert_eq!(judge(&run).broken(), [Broken::AckLost]);
}

#[test]
fn an_unknown_publish_may_be_there_once() {
    let mut run = sound();
    run.log.entries.push(Entry { offset: LAST + 1, id: id(0), hash: 0, time: 99 });
    for reader in 1..=4 {
        run.observations.push(Observation::Event {
            reader,
            topic: TOPIC.to_owned(),
            place: place(LAST + 1),
            id: id(0),
            hash: 0,
            at: ms(200),
        });
    }
    assert!(judge(&run).violations.is_empty());
}

#[test]
fn offsets_with_holes_are_checked_by_the_log() {
    let sparse = |offset: u64| offset * 3;
    let mut run = sound();
    run.allowance = Allowance::nothing(true);
    for observation in &mut run.observations {
        match observation {
            Observation::Published { outcome: Outcome::Acknowledged { place, .. }, .. }
            | Observation::Event { place, .. }
            | Observation::Began { after: Some(place), .. } => place.offset = sparse(place.offset),
            Observation::Gap { from, to, place, .. } => {
                (*from, *to) = (sparse(*from) - 2, sparse(*to));
                place.offset = *to;
            }
            _ => {}
        }
    }
    for entry in &mut run.log.entries {
        entry.offset = sparse(entry.offset);
    }
    assert_eq!(judge(&run).violations, []);
    run.observations.remove(index_of(&run, 1, sparse(30)));
    assert_eq!(judge(&run).broken(), [Broken::Hole]);
}

#[test]
fn presence_is_compared() {
    let mut checker = Checker::new(Allowance::default());
    checker.present("room", ["a", "b"], ["b", "a"]);
    checker.present("room", ["a", "b"], ["a"]);
    let verdict = checker.finish(&BTreeMap::new());
    assert_eq!(verdict.broken(), [Broken::Presence]);
    assert_eq!(verdict.figures.violations, 1);
}
