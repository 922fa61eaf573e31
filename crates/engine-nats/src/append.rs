//! Storing events: one message each, acknowledged by the stream when it has its place.

use std::collections::HashSet;
use std::time::Instant;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use bytes::Bytes;
use fanfare_history::{Append, Appended, Error, record};
use fanfare_model::{Clock, Position, Tag, Timestamp};
use futures_util::future::join_all;

use crate::classes::Spot;
use crate::error::{Fault, code};
use crate::gets::Get;
use crate::interest::Interest;
use crate::link::Link;
use crate::lives::Lives;
use crate::metrics::Operation;
use crate::stream::Ack;

/// How long to wait before what failed is tried again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(100);

/// What is needed to store events.
pub(crate) struct Appender<'a> {
    pub(crate) link: &'a Link,
    pub(crate) lives: &'a Lives,
    pub(crate) interest: Option<&'a Interest>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) event_bytes_max: usize,
    pub(crate) exact_times: bool,
}

/// An event on its way.
struct Item {
    spot: Spot,
    id: fanfare_model::EventId,
    message_id: String,
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
        while !waiting.is_empty() {
            let left = self.link.timeout.saturating_sub(since.elapsed());
            let found = join_all(waiting.iter().map(|(_, item)| self.store(item, left))).await;
            let again = left > RETRY_AFTER;
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
                tokio::time::sleep(RETRY_AFTER).await;
                self.mend(&waiting).await;
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
        let id = append.draft.id.clone();
        // Ids are those of one life of one topic.
        let epoch = self.lives.of(&spot).epoch.as_u32();
        let name = format!("{}\n{epoch}\n{}", spot.subject, id.as_str());
        let message_id = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
        Ok(Item { spot, id, message_id, record: bytes.into() })
    }

    async fn store(&self, item: &Item, patience: std::time::Duration) -> Result<Appended, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, item.message_id.as_str());
        let answer = self.link.ask_once(&item.spot.subject, Some(&headers), item.record.clone(), patience).await;
        let answer = match answer {
            // Without a leader there is nobody to store it.
            Err(Fault::Refused { code, text }) if code::PASSING.contains(&code) => Err(Fault::Unavailable(text)),
            answer => answer,
        };
        let ack: Ack = serde_json::from_value(answer?).map_err(|error| Fault::Garbled(error.to_string()))?;
        let life = self.lives.of(&item.spot);
        let position = Position { epoch: life.epoch, offset: ack.seq, tag: Tag::of(&item.id) };
        let time = if ack.duplicate || self.exact_times { self.time_of(item, ack.seq).await } else { self.now() };
        if let (Some(interest), false) = (self.interest, ack.duplicate) {
            interest.learn(&item.spot, position);
        }
        Ok(Appended { position, time, duplicate: ack.duplicate })
    }

    /// The servers' time: what they give the event, within a round trip.
    fn now(&self) -> Timestamp {
        self.link.server_time().unwrap_or_else(|| self.clock.now())
    }

    /// When an event was stored the first time.
    async fn time_of(&self, item: &Item, seq: u64) -> Timestamp {
        let found = self.link.get(&item.spot.class.stream, &Get::next(&item.spot.subject, seq, 1)).await;
        let found = found.ok().and_then(|batch| batch.messages.into_iter().next()).filter(|stored| stored.seq == seq);
        found.map_or_else(|| self.now(), |stored| stored.time)
    }

    /// Nobody answered for a stream: perhaps it is not there any more.
    async fn mend(&self, waiting: &[(usize, Item)]) {
        let mut seen = HashSet::new();
        for (_, item) in waiting {
            let class = &item.spot.class;
            if seen.insert(class.index)
                && let Err(fault) = class.mend(self.link).await
            {
                tracing::warn!(error = %fault, stream = class.stream, "stream does not answer");
            }
        }
    }

    fn refusal(&self, fault: Fault, item: &Item) -> Error {
        if fault.is(code::MESSAGE_TOO_LARGE) {
            return Error::TooLarge { size: item.record.len(), size_max: self.event_bytes_max };
        }
        fault.of_log()
    }
}
