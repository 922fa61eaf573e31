//! Purged and truncated topics: a record each, which every node knows.
//!
//! A record says that the topic has the epoch `epoch` and that nothing at or before `after`, and nothing before `floor`, is
//! in its log. It is written before anything is removed, so that whoever stops half-way leaves nothing in doubt. Records
//! are the last messages of subjects `<prefix>.life.<class>.<tenant>.<topic>`, and are announced like events.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use fanfare_history::Reset;
use fanfare_model::{Epoch, Position};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::classes::{Class, Spot};
use crate::error::{Error, Fault};
use crate::gets::{BATCH_MAX, Get};
use crate::life::{Life, Stream};
use crate::link::Link;
use crate::metrics::Operation;
use crate::options::Options;
use crate::stream::{Ack, Wanted};

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The life of the stream that it speaks of.
    created: String,
    /// The epoch of the topic; that of the stream if there is none.
    epoch: Option<u32>,
    /// Nothing at or before this is of that epoch.
    after: u64,
    /// Nothing before this is read.
    floor: u64,
}

/// A record, and its place in the stream.
struct Written {
    seq: u64,
    record: Record,
}

/// What a topic's life is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicLife {
    pub(crate) epoch: Epoch,
    /// What is at or before this is of an earlier life.
    pub(crate) after: u64,
    /// What is before this was truncated; 0 if nothing was.
    pub(crate) floor: u64,
}

impl TopicLife {
    /// The first place that is read.
    pub(crate) fn start(self) -> u64 {
        (self.after + 1).max(self.floor)
    }

    /// The place before everything.
    pub(crate) fn origin(self) -> Position {
        Position::origin(self.epoch)
    }

    /// What was before an event of which the server says that this was: nothing, if that is of an earlier life.
    pub(crate) fn prev(self, said: u64) -> u64 {
        if said <= self.after { 0 } else { said }
    }
}

/// The records of all topics.
pub(crate) struct Lives {
    /// `None` where nothing is ever purged.
    stream: Option<Arc<Stream>>,
    /// What its subjects begin with, the last dot included.
    subject: String,
    known: RwLock<Known>,
}

/// What was read of the records.
#[derive(Default)]
struct Known {
    /// The life of their stream.
    created: Option<Arc<str>>,
    /// By the subject's end: `<class>.<tenant>.<topic>`.
    records: HashMap<String, Written>,
    /// Up to where the stream was read.
    read: u64,
}

impl Lives {
    /// Makes the stream of the records.
    pub(crate) async fn open(link: &Link, options: &Options) -> Result<Self, Error> {
        let lives = Self::none(&options.prefix);
        let (name, source) = (format!("{}-lives", options.prefix), format!("{}>", lives.subject));
        let records = Wanted::records(name, source.clone(), options.replicas);
        let stream = Stream::open(link, Wanted { republish: Some((source, lives.live())), ..records }).await?;
        Ok(Self { stream: Some(stream), ..lives })
    }

    /// No records, and no stream of them.
    pub(crate) fn none(prefix: &str) -> Self {
        Self { stream: None, subject: format!("{prefix}.life."), known: RwLock::default() }
    }

    /// The topic within all classes.
    fn place<'a>(&self, class: &'a Class, subject: &'a str) -> &'a str {
        // Both `….log.` and `….life.` are followed by the same.
        let skipped = self.subject.len() - "life.".len() + "log.".len();
        debug_assert!(class.subject.len() > skipped, "a class has a word");
        &subject[skipped..]
    }

    /// The life that a topic is in, as far as it is known.
    pub(crate) fn of(&self, spot: &Spot) -> TopicLife {
        self.within(spot, &spot.class.stream.latest())
    }

    /// The life that a topic is in while its stream is in the life `stream`.
    pub(crate) fn within(&self, spot: &Spot, stream: &Life) -> TopicLife {
        let first = TopicLife { epoch: stream.epoch, after: 0, floor: 0 };
        let known = self.known.read();
        if known.records.is_empty() {
            return first;
        }
        match known.records.get(self.place(&spot.class, &spot.subject)) {
            Some(Written { record, .. }) if *record.created == *stream.created => TopicLife {
                epoch: record.epoch.and_then(Epoch::from_u32).unwrap_or(first.epoch),
                after: record.after,
                floor: record.floor,
            },
            _ => first,
        }
    }

    /// Reads what was written since the last time; says whose topics began a new life: the ends of their subjects.
    pub(crate) async fn refresh(&self, link: &Link) -> Result<Vec<String>, Fault> {
        let Some(stream) = &self.stream else { return Ok(Vec::new()) };
        let mut reborn = Vec::new();
        loop {
            let life = stream.life(link, link.timeout).await?;
            let from = {
                let mut known = self.known.write();
                if known.created.as_ref() != Some(&life.created) {
                    *known = Known { created: Some(Arc::clone(&life.created)), ..Known::default() };
                }
                known.read + 1
            };
            let filter = format!("{}>", self.subject);
            let batch = link.get(&stream.name, &Get::next(&filter, from, BATCH_MAX)).await?;
            let mut known = self.known.write();
            if !stream.is_still(link, &life) || known.created.as_ref() != Some(&life.created) {
                continue;
            }
            for message in &batch.messages {
                if let Some(place) = message.subject.strip_prefix(&self.subject)
                    && let Ok(record) = serde_json::from_slice::<Record>(&message.payload)
                    && known.learn(place, message.seq, record)
                {
                    reborn.push(place.to_owned());
                }
                known.read = known.read.max(message.seq);
            }
            if batch.pending == 0 || batch.messages.is_empty() {
                return Ok(reborn);
            }
        }
    }

    /// Where changes of records are announced.
    pub(crate) fn live(&self) -> String {
        format!("{}>", self.subject.replace(".life.", ".lived."))
    }

    /// Begins a new life of a topic, in which nothing up to `after` is.
    pub(crate) async fn purge(&self, link: &Link, spot: &Spot, after: u64) -> Result<(), Fault> {
        let epoch = Some(Epoch::generate().as_u32());
        let created = spot.class.stream.latest().created.to_string();
        self.write(link, spot, &Record { created, epoch, after, floor: 0 }).await
    }

    /// Hides what is before `floor`.
    pub(crate) async fn truncate(&self, link: &Link, spot: &Spot, floor: u64) -> Result<(), Fault> {
        let stream = spot.class.stream.latest();
        let life = self.within(spot, &stream);
        let epoch = (life.epoch != stream.epoch).then(|| life.epoch.as_u32());
        let (created, floor) = (stream.created.to_string(), floor.max(life.floor));
        self.write(link, spot, &Record { created, epoch, after: life.after, floor }).await
    }

    async fn write(&self, link: &Link, spot: &Spot, record: &Record) -> Result<(), Fault> {
        let place = self.place(&spot.class, &spot.subject);
        let known = self.known.read().records.get(place).map_or(0, |written| written.seq);
        let mut headers = HeaderMap::new();
        // It builds on what is known here. If another node was faster, whoever asked asks again.
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, known.to_string());
        headers.insert(NATS_MESSAGE_ID, link.client.new_inbox().as_str());
        let subject = format!("{}{place}", self.subject);
        let body = serde_json::to_vec(record).map_err(|error| Fault::Garbled(error.to_string()))?;
        let answer = link.ask(Operation::Store, &subject, Some(&headers), body.into()).await?;
        let _: Ack = serde_json::from_value(answer).map_err(|error| Fault::Garbled(error.to_string()))?;
        Ok(())
    }
}

impl Known {
    /// Takes note of a record; whether it begins a new life of its topic.
    fn learn(&mut self, place: &str, seq: u64, record: Record) -> bool {
        if self.records.get(place).is_some_and(|before| before.seq >= seq) {
            return false;
        }
        let epoch = record.epoch;
        let written = Written { seq, record };
        let created = written.record.created.clone();
        let before = self.records.insert(place.to_owned(), written).map(|before| before.record);
        epoch.is_some() && before.is_none_or(|before| before.epoch != epoch || before.created != created)
    }
}

/// A topic that began a new life, for whoever listens to it.
pub(crate) fn reset(spot: &Spot, life: TopicLife) -> Reset {
    Reset { topic: spot.key.clone(), head: fanfare_history::Head::empty(life.epoch) }
}
