//! Where a subscription begins: from what a client asked for to a place in the log.

use std::sync::Arc;

use fanfare_history::{Direction, Error, Page, Read, ReadFrom};
use fanfare_model::{Gap, GapReason, Position, StartFrom, Tag, Timestamp};
use tokio::time::Instant;

use crate::hub::Hub;
use crate::tail::Tail;

/// A place in the log of an attached topic.
pub(crate) struct Place {
    /// Deliver what comes after this.
    pub(crate) after: Position,
    /// The life of the tail that this is a place in.
    pub(crate) life: u32,
    /// What was asked for and cannot be delivered.
    pub(crate) gap: Option<Gap>,
    /// For the metrics.
    pub(crate) began: &'static str,
}

/// Finds the place. The reader is registered already, so whatever is appended meanwhile will wake it.
pub(crate) async fn place(hub: &Hub, tail: &Arc<Tail>, start: StartFrom, history: bool) -> Result<Place, Error> {
    let (head, life) = tail.head();
    let at = |offset: u64| Position { offset, tag: Tag::NONE, ..head };
    let (after, gap, began) = match start {
        StartFrom::Now => (head, None, "now"),
        StartFrom::After(position) => return resume(hub, tail, position, history).await,
        StartFrom::Start => (at(oldest(hub, tail).await?), None, "history"),
        StartFrom::Last(n) => {
            let n = n.min(hub.options.last_events_max);
            (at(before_last(hub, tail, n as usize, head).await?), None, "history")
        }
        StartFrom::Since(time) => (at(before_time(hub, tail, time, head).await?), None, "history"),
    };
    Ok(Place { after, life, gap, began })
}

async fn resume(hub: &Hub, tail: &Arc<Tail>, position: Position, history: bool) -> Result<Place, Error> {
    let (mut head, mut life) = tail.head();
    let is_strange = |head: Position| position.epoch != head.epoch || position.offset > head.offset;
    if is_strange(head) && !hub.broker()?.lossless() {
        // Another node may have heard of what this one has not.
        let heads = hub.compare(std::slice::from_ref(tail)).await?;
        (_, life) = tail.head();
        head = heads.first().map_or(head, |head| head.last);
    }
    let continued = |position| Place { after: position, life, gap: None, began: "continued" };
    if position.epoch != head.epoch {
        return lost(hub, tail, position, GapReason::Epoch, history).await;
    }
    if position.offset > head.offset {
        return lost(hub, tail, position, GapReason::Fork, history).await;
    }
    if position.tag == Tag::NONE || position.offset == 0 {
        return Ok(continued(position));
    }
    if let Some(known) = known_at(hub, tail, position.offset).await? {
        return match known {
            known if known == position => Ok(continued(position)),
            _ => lost(hub, tail, position, GapReason::Fork, history).await,
        };
    }
    // The event at the position itself is the proof that this log is the one the reader saw.
    // Its age does not matter: as long as the log still has it, it proves.
    let proof = Read { age_max: None, ..request(hub, tail, ReadFrom::Offset(position.offset), Direction::Forward, 1) };
    let page = hub.read_up_to(proof, position.offset).await?;
    if page.head.last.epoch != position.epoch {
        return purged(hub, tail, position, history).await;
    }
    match page.events.first() {
        Some(event) if event.position() == position => {}
        // It has been trimmed, so it can prove nothing.
        _ if page.head.first > position.offset => {}
        _ => return lost(hub, tail, position, GapReason::Fork, history).await,
    }
    let next = read(hub, tail, ReadFrom::Offset(position.offset + 1), Direction::Forward, 1).await?;
    if next.head.last.epoch != position.epoch {
        return purged(hub, tail, position, history).await;
    }
    let before_next = next.events.first().map_or(next.head.last.offset, |event| event.prev);
    if before_next < position.offset && !next.events.is_empty() {
        // The log goes on as if that event had never been.
        return lost(hub, tail, position, GapReason::Fork, history).await;
    }
    if before_next <= position.offset {
        return Ok(continued(position));
    }
    let gap = Gap { from: position.offset + 1, to: before_next, reason: GapReason::Trimmed };
    let after = Position { offset: before_next, tag: Tag::NONE, ..position };
    Ok(Place { after, life, gap: Some(gap), began: "gap" })
}

/// The position of the event at `offset`, if it is in the ring, or so little before it that it can be read back into it:
/// once for all who come back at the same time.
async fn known_at(hub: &Hub, tail: &Arc<Tail>, offset: u64) -> Result<Option<Position>, Error> {
    let asked = Instant::now();
    let known = tail.position_at(offset);
    if known.is_some() || !tail.may_recall(offset) {
        return Ok(known);
    }
    let mut failed = tail.recalling.lock().await;
    if failed.is_some_and(|at| at > asked) {
        // To try again for each of those who waited would take so many times the engine's patience.
        return Err(Error::Unavailable("the log could not be read for another reader".into()));
    }
    if tail.position_at(offset).is_none() && tail.may_recall(offset) {
        let (_, life) = tail.head();
        match hub.broker()?.read(hub.page(&tail.key, offset - 1)).await {
            Ok(page) => hub.recall(tail, offset, &page.events, life),
            Err(error) => {
                *failed = Some(Instant::now());
                return Err(error);
            }
        }
    }
    Ok(tail.position_at(offset))
}

/// A position of a log that was purged, which this node has not heard of yet.
async fn purged(hub: &Hub, tail: &Arc<Tail>, position: Position, history: bool) -> Result<Place, Error> {
    hub.compare(std::slice::from_ref(tail)).await?;
    lost(hub, tail, position, GapReason::Epoch, history).await
}

/// A position that is of no use in this log.
async fn lost(
    hub: &Hub,
    tail: &Arc<Tail>,
    position: Position,
    reason: GapReason,
    history: bool,
) -> Result<Place, Error> {
    let to = if history { oldest(hub, tail).await? } else { tail.head().0.offset };
    let (head, life) = tail.head();
    let gap = Gap { from: position.offset.saturating_add(1), to, reason };
    Ok(Place { after: Position { offset: to, tag: Tag::NONE, ..head }, life, gap: Some(gap), began: "gap" })
}

/// The offset before the oldest event that is kept.
async fn oldest(hub: &Hub, tail: &Arc<Tail>) -> Result<u64, Error> {
    // Asked first: the head of a page may tell of an event that came when the page had been found to be empty.
    let (known, _) = tail.head();
    let page = read(hub, tail, ReadFrom::End, Direction::Forward, 1).await?;
    let end = page.head.last.offset.min(known.offset);
    Ok(page.events.first().map_or(end, |event| event.prev.max(page.head.first.saturating_sub(1))))
}

async fn before_last(hub: &Hub, tail: &Arc<Tail>, n: usize, head: Position) -> Result<u64, Error> {
    if let Some(offset) = tail.before_last(n) {
        return Ok(offset);
    }
    let mut from = ReadFrom::End;
    let mut found = 0;
    let mut before = head.offset;
    loop {
        let page = read(hub, tail, from, Direction::Backward, n - found).await?;
        found += page.events.len();
        let Some(oldest) = page.events.last() else { return Ok(before) };
        before = oldest.prev.max(page.head.first.saturating_sub(1));
        if found >= n || !page.more || oldest.offset <= 1 {
            return Ok(before);
        }
        from = ReadFrom::Offset(oldest.offset - 1);
    }
}

async fn before_time(hub: &Hub, tail: &Arc<Tail>, time: Timestamp, head: Position) -> Result<u64, Error> {
    let page = read(hub, tail, ReadFrom::Time(time), Direction::Forward, 1).await?;
    Ok(page.events.first().map_or(head.offset, |event| event.prev.max(page.head.first.saturating_sub(1))))
}

async fn read(
    hub: &Hub,
    tail: &Arc<Tail>,
    from: ReadFrom,
    direction: Direction,
    limit: usize,
) -> Result<Arc<Page>, Error> {
    hub.read(request(hub, tail, from, direction, limit)).await
}

fn request(hub: &Hub, tail: &Tail, from: ReadFrom, direction: Direction, limit: usize) -> Read {
    Read {
        topic: tail.key.clone(),
        from,
        direction,
        limit,
        bytes_max: hub.options.page_bytes_max.as_usize(),
        age_max: tail.policy.keep.age_max,
    }
}
