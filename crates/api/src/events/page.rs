//! Finding a page of a topic's history.

use std::sync::Arc;

use fanfare_bus::{Direction, Head, Page, Read, ReadFrom};
use fanfare_model::{Event, Gap, GapReason, Position, Tag, TopicKey, json};
use serde::Serialize;

use super::request::{Begin, Request};
use crate::Api;
use crate::fault::Fault;
use crate::head::HeadBody;
use crate::openapi::GapBody;

/// A page as it is answered.
#[derive(Debug)]
pub(super) struct Found {
    events: Vec<Arc<Event>>,
    head: Head,
    /// Where to go on.
    next: Position,
    more: bool,
    gap: Option<Gap>,
}

impl Found {
    /// The body of the answer.
    pub(super) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Rest {
            head: HeadBody,
            next: String,
            more: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            gap: Option<GapBody>,
        }
        let mut out = b"{\"events\":[".to_vec();
        for (at, event) in self.events.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::write_event(event, &mut out);
        }
        out.extend_from_slice(b"],");
        let gap = self.gap.map(GapBody::from);
        let rest = Rest { head: self.head.into(), next: self.next.to_string(), more: self.more, gap };
        // An object with its opening brace taken off goes on where the events end.
        let rest = serde_json::to_vec(&rest).unwrap_or_default();
        out.extend_from_slice(rest.get(1..).unwrap_or_default());
        out
    }
}

/// Reads what `request` asks for.
pub(super) async fn find(api: &Api, key: &TopicKey, request: &Request) -> Result<Found, Fault> {
    let reader = Reader { api, key };
    let limit = request.limit;
    match (request.begin, request.direction) {
        (Begin::End, Direction::Forward) => Ok(forward(reader.read(ReadFrom::End, Direction::Forward, limit).await?)),
        (Begin::End, Direction::Backward) => {
            Ok(backward(reader.read(ReadFrom::End, Direction::Backward, limit).await?))
        }
        (Begin::Now, _) => Ok(forward(Page { more: false, ..reader.head().await? })),
        (Begin::Since(time), _) => Ok(forward(reader.read(ReadFrom::Time(time), Direction::Forward, limit).await?)),
        (Begin::Last(n), _) => reader.last(n).await,
        (Begin::Offset(offset), Direction::Backward) => reader.before(offset, limit).await,
        (Begin::Offset(offset), Direction::Forward) => {
            let last = reader.head().await?.head.last;
            reader.after(Position { offset: offset.min(last.offset), tag: Tag::NONE, ..last }, limit).await
        }
        (Begin::Position(position), direction) => match (reader.contradiction(position).await?, direction) {
            (Some(reason), direction) => reader.anew(position, reason, direction, limit).await,
            (None, Direction::Backward) => reader.before(position.offset, limit).await,
            (None, Direction::Forward) => reader.after(position, limit).await,
        },
    }
}

struct Reader<'a> {
    api: &'a Api,
    key: &'a TopicKey,
}

impl Reader<'_> {
    async fn read(&self, from: ReadFrom, direction: Direction, limit: usize) -> Result<Page, Fault> {
        let bus = &self.api.node.bus;
        let read = Read {
            topic: self.key.clone(),
            from,
            direction,
            limit,
            bytes_max: self.api.options.page_bytes_max.as_usize(),
            age_max: bus.policy(&self.key.topic).keep.age_max,
        };
        Ok(bus.read(read).await?)
    }

    async fn head(&self) -> Result<Page, Fault> {
        self.read(ReadFrom::End, Direction::Forward, 0).await
    }

    /// The events before an offset, newest first.
    async fn before(&self, offset: u64, limit: usize) -> Result<Found, Fault> {
        match offset.checked_sub(1).filter(|last| *last > 0) {
            Some(last) => Ok(backward(self.read(ReadFrom::Offset(last), Direction::Backward, limit).await?)),
            None => Ok(backward(Page { more: false, ..self.head().await? })),
        }
    }

    /// The events after a position of this log, oldest first.
    async fn after(&self, position: Position, limit: usize) -> Result<Found, Fault> {
        let from = ReadFrom::Offset(position.offset.saturating_add(1));
        let page = self.read(from, Direction::Forward, limit).await?;
        let gap = trimmed(position, &page);
        let next = if gap.is_some() { page.head.last } else { position };
        Ok(Found { next, gap, ..forward(page) }.continued())
    }

    /// Why this log is not the one that the position was taken from, if it is not.
    async fn contradiction(&self, position: Position) -> Result<Option<GapReason>, Fault> {
        // The order of these questions is the one in which a subscription is resumed.
        let is_proven = position.tag == Tag::NONE || position.offset == 0;
        let page = self.read(ReadFrom::Offset(position.offset), Direction::Forward, usize::from(!is_proven)).await?;
        let last = page.head.last;
        if position.epoch != last.epoch {
            return Ok(Some(GapReason::Epoch));
        }
        if position.offset > last.offset {
            return Ok(Some(GapReason::Fork));
        }
        if is_proven {
            return Ok(None);
        }
        // The event at the position itself is the proof. If it is gone, what follows shows what is missing.
        let known = page.events.first().filter(|event| event.offset == position.offset).map(|event| event.position());
        let trimmed = page.head.first > position.offset;
        Ok((known != Some(position) && !trimmed).then_some(GapReason::Fork))
    }

    /// A page from the beginning, for a position that is of no use in this log.
    async fn anew(
        &self,
        position: Position,
        reason: GapReason,
        direction: Direction,
        limit: usize,
    ) -> Result<Found, Fault> {
        let page = self.read(ReadFrom::End, direction, limit).await?;
        let found = match direction {
            Direction::Forward => forward(page),
            Direction::Backward => backward(page),
        };
        let gap = Gap { from: position.offset.saturating_add(1), to: found.head.first.saturating_sub(1), reason };
        Ok(Found { gap: Some(gap), ..found })
    }

    /// The last `n` events, oldest first.
    async fn last(&self, n: usize) -> Result<Found, Fault> {
        let mut page = self.read(ReadFrom::End, Direction::Backward, n).await?;
        if page.events.len() == n || !page.more {
            page.events.reverse();
            return Ok(forward(Page { more: false, ..page }));
        }
        // Too many bytes for one page: find where the last `n` begin, and give the first page of them.
        let mut found = page.events.len();
        while let (true, Some(oldest)) = (found < n && page.more, page.events.last()) {
            let from = ReadFrom::Offset(oldest.offset.saturating_sub(1));
            let earlier = self.read(from, Direction::Backward, n - found).await?;
            if earlier.events.is_empty() {
                break;
            }
            found += earlier.events.len();
            page = earlier;
        }
        let from = page.events.last().map_or(ReadFrom::End, |oldest| ReadFrom::Offset(oldest.offset));
        Ok(forward(self.read(from, Direction::Forward, found).await?))
    }
}

impl Found {
    /// Goes on after the last event, if there is one; else where it said before.
    fn continued(mut self) -> Self {
        if let Some(event) = self.events.last() {
            self.next = event.position();
        }
        self
    }
}

fn forward(page: Page) -> Found {
    let Page { events, head, more } = page;
    Found { events, head, next: head.last, more, gap: None }.continued()
}

fn backward(page: Page) -> Found {
    let Page { events, head, more } = page;
    Found { events, head, next: Position::origin(head.last.epoch), more, gap: None }.continued()
}

/// What is missing between a position and the page that was read from after it.
fn trimmed(position: Position, page: &Page) -> Option<Gap> {
    let to = match page.events.first() {
        Some(event) => event.prev,
        None => page.head.last.offset,
    };
    (to > position.offset).then_some(Gap { from: position.offset + 1, to, reason: GapReason::Trimmed })
}
