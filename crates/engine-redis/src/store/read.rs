//! Reading a stretch of one topic.

use std::sync::Arc;

use fanfare_history::{Direction, Error, Head, Page, Read, ReadFrom, record};
use fanfare_model::{Event, Timestamp, TopicKey};
use redis::Value;

use super::{Store, random};
use crate::answers;
use crate::error::Failure;
use crate::metrics::Operation;
use crate::scripts;

impl Store {
    pub(crate) async fn read(&self, read: Read) -> Result<Page, Error> {
        self.check_open()?;
        if self.passing(&read.topic) {
            let heads = self.heads(std::slice::from_ref(&read.topic)).await?;
            let head = heads.first().copied().ok_or_else(|| Failure::Garbled("heads").of_log())?;
            return Ok(Page { events: Vec::new(), head, more: false });
        }
        self.read_kept(&read).await.map_err(Failure::of_log)
    }

    async fn read_kept(&self, read: &Read) -> Result<Page, Failure> {
        let names = self.names(&read.topic, false);
        let keys = [self.born(names.partition), names.head, names.log];
        let (from, value) = match read.from {
            ReadFrom::Offset(offset) => ("o", offset.to_string()),
            ReadFrom::Time(time) => ("t", time.as_micros().to_string()),
            ReadFrom::End => ("e", String::new()),
        };
        let direction = if read.direction == Direction::Forward { "f" } else { "b" };
        let oldest = read.age_max.map(|age| self.clock.now().minus(age).as_micros().to_string());
        // One answer has a bound of its own, or one reader with a great appetite would hold up the server for all.
        let limit = read.limit.min(EVENTS_PER_CALL);
        let bytes_max = read.bytes_max.min(BYTES_PER_CALL);
        let make = |_: &_| {
            let mut call = scripts::READ.with(&keys);
            call.arg(random()).arg(&names.flat).arg(from).arg(&value).arg(direction);
            call.arg(limit).arg(bytes_max).arg(oldest.as_deref().unwrap_or_default());
            vec![call]
        };
        let answer = self.servers.call(Operation::Read, names.partition, true, make).await?;
        let (mut page, mut bytes) = page_of(&read.topic, answer.into_iter().next())?;
        // What was asked for beyond that bound is fetched by further calls. The head is that of the last.
        while page.more && page.events.len() < read.limit && (page.events.is_empty() || bytes < read.bytes_max) {
            let Some(last) = page.events.last().map(|event| event.offset) else { break };
            let from = match read.direction {
                Direction::Forward => last + 1,
                Direction::Backward => last - 1,
            };
            let rest = Read {
                from: ReadFrom::Offset(from),
                limit: read.limit - page.events.len(),
                bytes_max: read.bytes_max.saturating_sub(bytes),
                ..read.clone()
            };
            let next = Box::pin(self.read_kept(&rest)).await?;
            bytes += next.events.iter().map(|event| event.draft.size()).sum::<usize>();
            // A log that was reborn or forked between two calls is no continuation of itself.
            let joins = next.events.first().is_none_or(|first| match read.direction {
                Direction::Forward => first.prev == last,
                Direction::Backward => first.offset < last,
            });
            if next.head.last.epoch != page.head.last.epoch || !joins {
                break;
            }
            page.events.extend(next.events);
            (page.head, page.more) = (next.head, next.more);
        }
        Ok(page)
    }
}

/// The most events of one call.
const EVENTS_PER_CALL: usize = 1000;
/// The most bytes of one call: a few milliseconds of the server.
const BYTES_PER_CALL: usize = 4 * 1024 * 1024;

/// The answer of the script, and the size of its events.
fn page_of(topic: &TopicKey, answer: Option<Value>) -> Result<(Page, usize), Failure> {
    const GARBLED: Failure = Failure::Garbled("read");
    let Some(Value::Array(answer)) = answer else { return Err(GARBLED) };
    let [head, more, events @ ..] = &answer[..] else { return Err(GARBLED) };
    let head: Head = answers::head(head).ok_or(GARBLED)?;
    let event = |fields: &[Value]| {
        let [offset, prev, time, draft] = fields else { return None };
        let draft = record::decode_draft(answers::bytes(draft)?).ok()?;
        Some(Arc::new(Event {
            topic: topic.clone(),
            epoch: head.last.epoch,
            offset: answers::unsigned(offset)?,
            prev: answers::unsigned(prev)?,
            time: Timestamp::from_micros(answers::number(time)?),
            draft,
        }))
    };
    let events: Vec<_> = events.chunks(4).map(event).collect::<Option<_>>().ok_or(GARBLED)?;
    let bytes = events.iter().map(|event| event.draft.size()).sum();
    Ok((Page { events, head, more: answers::number(more) == Some(1) }, bytes))
}
