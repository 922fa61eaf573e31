//! Storing events: one message each, acknowledged by the stream when it has its place.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use bytes::Bytes;
use fanfare_history::{Append, Appended, Error, record};
use fanfare_model::{Position, Tag, Timestamp};
use futures_util::future::join_all;

use crate::classes::Spot;
use crate::error::{Fault, code};
use crate::gets::Get;
use crate::interest::Interest;
use crate::life::Life;
use crate::link::{Link, TRY_AGAIN};
use crate::lives::{Lives, TopicLife};
use crate::metrics::Operation;
use crate::stream::Ack;

/// What is needed to store events.
pub(crate) struct Appender<'a> {
    pub(crate) link: &'a Link,
    pub(crate) lives: &'a Lives,
    pub(crate) interest: Option<&'a Interest>,
    pub(crate) event_bytes_max: usize,
    pub(crate) exact_times: bool,
}

/// An event on its way.
struct Item {
    spot: Spot,
    id: fanfare_model::EventId,
    record: Bytes,
}

impl Appender<'_> {
    /// Stores a batch; the answers are in its order.
    ///
    /// What failed is tried again until the time is over, under the same id, so that it is stored once. But not what others
    /// of its topic were stored after: then it would come too late, and whoever sent it decides.
    pub(crate) async fn append(&self, batch: Vec<(Spot, Append)>) -> Vec<Result<Appended, Error>> {
        let since = Instant::now();
        let mut answers: Vec<Option<Result<Appended, Error>>> = batch.iter().map(|_| None).collect();
        let mut waiting: Vec<(usize, Item)> = Vec::with_capacity(batch.len());
        for (at, (spot, append)) in batch.into_iter().enumerate() {
            match self.item(spot, &append) {
                Ok(item) => waiting.push((at, item)),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        let mut backoff = TRY_AGAIN;
        while !waiting.is_empty() {
            let left = self.link.timeout.saturating_sub(since.elapsed());
            let lives = self.lives_of(&waiting, left).await;
            let left = self.link.timeout.saturating_sub(since.elapsed());
            let life = |item: &Item| lives[&item.spot.class.index].as_ref();
            // Each is sent when it is polled first, which is in order: the runtime must not break off between them.
            let stores = join_all(waiting.iter().map(|(_, item)| self.store(item, life(item), left)));
            let found = tokio::task::unconstrained(stores).await;
            let wait = backoff.next_wait();
            let again = left > wait;
            let mut overtaken = HashSet::new();
            let mut left_over = Vec::new();
            // From the last to the first, to see what was stored after each.
            for ((at, item), answer) in waiting.into_iter().zip(found).rev() {
                match answer {
                    Ok(appended) => {
                        overtaken.insert(item.spot.subject.clone());
                        answers[at] = Some(Ok(appended));
                    }
                    Err(Fault::Unavailable(_)) if again && !overtaken.contains(&item.spot.subject) => {
                        left_over.push((at, item));
                    }
                    Err(fault) => answers[at] = Some(Err(self.refusal(fault, &item))),
                }
            }
            left_over.reverse();
            waiting = left_over;
            if !waiting.is_empty() {
                // Perhaps the stream is not there any more.
                for (_, item) in &waiting {
                    item.spot.class.stream.doubt();
                }
                tokio::time::sleep(wait).await;
            }
        }
        self.link.metrics.called(Operation::Store, answers.iter().all(|a| matches!(a, Some(Ok(_)))), since.elapsed());
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect()
    }

    fn item(&self, spot: Spot, append: &Append) -> Result<Item, Error> {
        let (size, size_max) = (append.draft.size(), self.event_bytes_max);
        if size > size_max {
            return Err(Error::TooLarge { size, size_max });
        }
        let mut bytes = Vec::new();
        record::encode_draft(&append.draft, &mut bytes);
        Ok(Item { spot, id: append.draft.id.clone(), record: bytes.into() })
    }

    /// The lives that the streams of a batch are in, by class. Before anything is sent, so that nothing overtakes.
    async fn lives_of(&self, batch: &[(usize, Item)], patience: Duration) -> HashMap<usize, Result<Life, Fault>> {
        let mut lives = HashMap::new();
        for (_, item) in batch {
            let class = &item.spot.class;
            if let Entry::Vacant(place) = lives.entry(class.index) {
                place.insert(class.stream.life(self.link, patience).await);
            }
        }
        lives
    }

    async fn store(&self, item: &Item, life: Result<&Life, &Fault>, patience: Duration) -> Result<Appended, Fault> {
        let (life, stream) = (life.map_err(Fault::clone)?, &item.spot.class.stream);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, item.message_id(self.lives.within(&item.spot, life)).as_str());
        let before = stream.last();
        let answer = self.link.ask_once(&item.spot.subject, Some(&headers), item.record.clone(), patience).await;
        let answer = match answer {
            // Without a leader there is nobody to store it.
            Err(Fault::Refused { code, text }) if code::PASSING.contains(&code) => Err(Fault::Unavailable(text)),
            answer => answer,
        };
        let ack: Ack = serde_json::from_value(answer?).map_err(|error| Fault::Garbled(error.to_string()))?;
        let now = self.lives.within(&item.spot, life);
        // An acknowledgement does not say of which life of the stream it is, nor a place of which life of the topic.
        let went_back = !ack.duplicate && ack.seq <= before;
        if went_back || ack.seq <= now.after || !stream.is_still(self.link, life) {
            return Err(Fault::Unavailable("the stream may have begun a new life meanwhile".to_owned()));
        }
        stream.stored(ack.seq);
        let position = Position { epoch: now.epoch, offset: ack.seq, tag: Tag::of(&item.id) };
        let time = if ack.duplicate || self.exact_times { self.time_of(item, ack.seq).await } else { self.link.now() };
        if let (Some(interest), false) = (self.interest, ack.duplicate) {
            interest.learn(&item.spot, position);
        }
        Ok(Appended { position, time, duplicate: ack.duplicate })
    }

    /// When an event was stored the first time.
    async fn time_of(&self, item: &Item, seq: u64) -> Timestamp {
        let found = self.link.get(&item.spot.class.stream.name, &Get::next(&item.spot.subject, seq, 1)).await;
        let found = found.ok().and_then(|batch| batch.messages.into_iter().next()).filter(|stored| stored.seq == seq);
        found.map_or_else(|| self.link.now(), |stored| stored.time)
    }

    fn refusal(&self, fault: Fault, item: &Item) -> Error {
        if fault.is(code::MESSAGE_TOO_LARGE) {
            return Error::TooLarge { size: item.record.len(), size_max: self.event_bytes_max };
        }
        fault.of_log()
    }
}

impl Item {
    /// What the stream knows it by. Ids are those of one life of one topic; a stream that is made anew knows none.
    fn message_id(&self, life: TopicLife) -> String {
        let name = format!("{}\n{}\n{}", self.spot.subject, life.after, self.id.as_str());
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()))
    }
}
