//! One case's log, and what a case does with it.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Clock as _, Data, Draft, Event, EventId, ManualClock, Tenant, Timestamp, Topic, TopicKey};

use super::kinds::keep_of;
use super::{Announced, Make, Setting};
use crate::{Append, Appended, Capabilities, Direction, Error, Head, Keep, Log, Page, Read, ReadFrom, TimeOf};

/// One case's log.
pub(super) struct Bench {
    pub(super) setting: Setting,
    pub(super) log: Arc<dyn Log>,
    pub(super) can: Capabilities,
    pub(super) announced: Announced,
    make: Make,
}

impl Bench {
    pub(super) async fn set_up(place: usize, make: Make, announced: Announced) -> Self {
        let setting = setting(place);
        let log = make(setting.clone()).await;
        Self::with(log, setting, make, announced)
    }

    /// On a log that was made in this setting.
    pub(super) fn with(log: Arc<dyn Log>, setting: Setting, make: Make, announced: Announced) -> Self {
        let can = log.capabilities();
        Self { setting, log, can, announced, make }
    }

    /// Closes the log, if asked to, and makes it again.
    pub(super) async fn restart(self, close: bool) -> Self {
        let Self { setting, log, can, announced, make } = self;
        if close {
            log.close().await.expect("the log closes");
        }
        drop(log);
        let log = make(setting.clone()).await;
        Self { setting, log, can, announced, make }
    }

    /// Whether events have the time of the case's clock.
    pub(super) fn has_time(&self) -> bool {
        self.can.time == TimeOf::Node
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.setting.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn now(&self) -> Timestamp {
        self.setting.clock.now()
    }

    pub(super) async fn append(&self, topic: &TopicKey, draft: Draft) -> Appended {
        self.try_append(topic, draft).await.expect("the append is accepted")
    }

    pub(super) async fn try_append(&self, topic: &TopicKey, draft: Draft) -> Result<Appended, Error> {
        self.append_kept(topic, &keep_of(topic.topic.kind()), draft).await
    }

    pub(super) async fn append_kept(
        &self,
        topic: &TopicKey,
        keep: &Arc<Keep>,
        draft: Draft,
    ) -> Result<Appended, Error> {
        let mut answers = self.log.append(vec![item_kept(topic, keep, draft)]).await;
        assert_eq!(answers.len(), 1, "one answer for one item");
        answers.remove(0)
    }

    /// Appends events whose data are `0`, `1`, …; says where they are.
    pub(super) async fn fill(&self, topic: &TopicKey, count: usize) -> Vec<u64> {
        let keep = keep_of(topic.topic.kind());
        let batch = (0..count).map(|n| item_kept(topic, &keep, numbered(n))).collect();
        placed(&self.log.append(batch).await)
    }

    pub(super) async fn head(&self, topic: &TopicKey) -> Head {
        let mut heads = self.log.heads(vec![topic.clone()]).await.expect("the head is read");
        assert_eq!(heads.len(), 1, "one head for one topic");
        heads.remove(0)
    }

    pub(super) async fn read(&self, read: Read) -> Page {
        self.log.read(read).await.expect("the log is read")
    }

    /// Everything there is of a topic.
    pub(super) async fn all(&self, topic: &TopicKey) -> Vec<Arc<Event>> {
        let page = self.read(forward(topic, ReadFrom::End)).await;
        assert!(!page.more, "nothing is left");
        page.events
    }

    /// Asserts that exactly these events of a topic were announced.
    pub(super) async fn assert_heard(&self, topic: &TopicKey, events: &[Arc<Event>]) {
        let heard = match self.announced {
            Announced::First => self.setting.heard.events(topic),
            Announced::Soon => self.setting.heard.until_events(topic, events.len()).await,
            Announced::Perhaps => return,
        };
        assert_eq!(heard, events, "what is announced is what is stored");
    }

    /// Asserts that offsets are 1, 2, 3 … if the engine says so, and that they increase.
    pub(super) fn assert_places(&self, offsets: &[u64]) {
        assert!(offsets.first().is_none_or(|first| *first > 0) && offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        if self.can.dense {
            assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>());
        }
    }

    /// Asserts how many bytes a head counts, if the engine counts them.
    pub(super) fn assert_bytes(&self, head: Head, bytes: u64) {
        assert_eq!(head.bytes, if self.can.bounds_bytes { bytes } else { 0 });
    }
}

/// What a log at a place is made from.
pub(super) fn setting(place: usize) -> Setting {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    Setting { place, clock, heard: Arc::default() }
}

/// One event of a batch, to be kept as its topic's kind says.
pub(super) fn item(topic: &TopicKey, draft: Draft) -> Append {
    item_kept(topic, &keep_of(topic.topic.kind()), draft)
}

pub(super) fn item_kept(topic: &TopicKey, keep: &Arc<Keep>, draft: Draft) -> Append {
    Append { topic: topic.clone(), draft, keep: Arc::clone(keep) }
}

/// Where the events of a batch are, all of which were accepted.
pub(super) fn placed(answers: &[Result<Appended, Error>]) -> Vec<u64> {
    answers.iter().map(|answer| answer.as_ref().expect("the append is accepted").position.offset).collect()
}

/// A topic for a case: its log is its own, so any name will do. The kind says what is kept.
pub(super) fn topic(name: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(name).expect("a valid topic"))
}

/// A topic of a kind.
pub(super) fn of_kind(kind: &str) -> TopicKey {
    topic(&format!("{kind}:a"))
}

pub(super) fn numbered(n: usize) -> Draft {
    Draft::new(Data::text(n.to_string()))
}

pub(super) fn with_id(id: &str, text: &str) -> Draft {
    Draft { id: EventId::new(id).expect("a valid id"), ..Draft::new(Data::text(text)) }
}

pub(super) fn forward(topic: &TopicKey, from: ReadFrom) -> Read {
    let (limit, bytes_max) = (usize::MAX, usize::MAX);
    Read { topic: topic.clone(), from, direction: Direction::Forward, limit, bytes_max, age_max: None }
}

pub(super) fn backward(topic: &TopicKey, from: ReadFrom) -> Read {
    Read { direction: Direction::Backward, ..forward(topic, from) }
}

pub(super) fn offsets(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}

/// Whether `prev` of each event is the one before it.
pub(super) fn is_chained(events: &[Arc<Event>]) -> bool {
    events.windows(2).all(|pair| pair[1].prev == pair[0].offset)
}

/// First and last offset, and how many events there are between.
pub(super) fn ends(head: Head) -> (u64, u64, u64) {
    (head.first, head.last.offset, head.events)
}
