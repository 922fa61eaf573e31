//! What was really published, and whether a reader's story fits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fanfare_tests::Api;
use parking_lot::Mutex;

use super::SHORT_EVENTS_MAX;

/// Events may be stored and seen before the publisher has heard so: at most a batch of each topic.
const UNACKNOWLEDGED_MAX: usize = 5;

/// One thing that a reader was given of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Event { offset: u64, id: String },
    Gap { from: u64, to: u64, reason: String, acknowledged: usize },
}

/// What is known to have been stored: offset to id, by topic.
pub(super) struct Record {
    topics: BTreeMap<String, Mutex<BTreeMap<u64, String>>>,
    disconnects: AtomicUsize,
    stopping: AtomicBool,
}

impl Record {
    pub(super) fn new(topics: &[&str]) -> Self {
        let topics = topics.iter().map(|topic| ((*topic).to_owned(), Mutex::default())).collect();
        Self { topics, disconnects: AtomicUsize::new(0), stopping: AtomicBool::new(false) }
    }

    pub(super) fn topics(&self) -> Vec<&str> {
        self.topics.keys().map(String::as_str).collect()
    }

    /// The publisher was told that the event is stored there.
    pub(super) fn acknowledged(&self, topic: &str, offset: u64, id: &str) {
        let before = self.topics[topic].lock().insert(offset, id.to_owned());
        assert!(before.is_none_or(|before| before == id), "offset {offset} of {topic} was given twice");
    }

    pub(super) fn acknowledged_count(&self, topic: &str) -> usize {
        self.topics[topic].lock().len()
    }

    pub(super) fn last_offset(&self, topic: &str) -> u64 {
        self.topics[topic].lock().last_key_value().map_or(0, |(offset, _)| *offset)
    }

    pub(super) fn events(&self) -> usize {
        self.topics.values().map(|events| events.lock().len()).sum()
    }

    pub(super) fn lost_a_connection(&self) {
        self.disconnects.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn disconnects(&self) -> usize {
        self.disconnects.load(Ordering::SeqCst)
    }

    pub(super) fn stop_publishing(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The server's own log holds exactly what was acknowledged: every event once, in the order of publishing, and of
    /// the short topics the end of it.
    pub(super) async fn agrees_with_the_log(&self, api: &Api) {
        for (topic, events) in &self.topics {
            let known: Vec<(u64, String)> = events.lock().iter().map(|(offset, id)| (*offset, id.clone())).collect();
            let ids: Vec<usize> = known.iter().map(|(_, id)| id.parse().expect("ids are numbers")).collect();
            assert_eq!(ids, (1..=known.len()).collect::<Vec<_>>(), "{topic}: each event once, in order");
            let logged = api.log_of(topic).await.into_iter().map(|event| {
                (event["offset"].as_u64().expect("an offset"), event["id"].as_str().expect("an id").to_owned())
            });
            let logged: Vec<_> = logged.collect();
            let kept = if topic.starts_with("short") { SHORT_EVENTS_MAX.min(known.len()) } else { known.len() };
            assert_eq!(logged, known[known.len() - kept..], "{topic}");
        }
    }

    /// Checks what one reader saw of `topic` from its start to its end.
    pub(super) fn check(&self, topic: &str, seen: &[Seen], reader: u64, may_have_gaps: bool) {
        let events = self.topics[topic].lock();
        let mut expected = events.iter().peekable();
        let mut position = 0;
        // `start` is the oldest event that is kept; it may be trimmed before it is read.
        if let (true, Some(Seen::Event { offset: first, .. } | Seen::Gap { from: first, .. })) =
            (may_have_gaps, seen.first())
        {
            while expected.next_if(|(offset, _)| *offset < first).is_some() {}
            position = first - 1;
        }
        for (at, item) in seen.iter().enumerate() {
            let told = || {
                format!("reader {reader}, {topic}, item {at} of {}: {:?}", seen.len(), &seen[at.saturating_sub(3)..=at])
            };
            match item {
                Seen::Event { offset, id } => {
                    let next = expected.next().unwrap_or_else(|| panic!("{}: there is no such event", told()));
                    assert_eq!((offset, id), next, "{}", told());
                    position = *offset;
                }
                Seen::Gap { from, to, reason, acknowledged } => {
                    assert!(may_have_gaps, "{}: everything is kept", told());
                    assert_eq!((reason.as_str(), *from), ("trimmed", position + 1), "{}", told());
                    assert!(to >= from, "{}", told());
                    // What is missing had really been trimmed by then: enough newer events existed.
                    let up_to_then: BTreeSet<u64> =
                        events.keys().copied().take(acknowledged + UNACKNOWLEDGED_MAX).collect();
                    let newer = up_to_then.iter().filter(|offset| *offset > to).count();
                    assert!(newer >= SHORT_EVENTS_MAX, "{}: only {newer} newer events, so it was still there", told());
                    while expected.next_if(|(offset, _)| *offset <= to).is_some() {}
                    position = *to;
                }
            }
        }
        assert_eq!(expected.next(), None, "reader {reader} ends before the log of {topic} does");
    }
}
