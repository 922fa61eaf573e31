//! Reading a topic's stretch of its stream.
//!
//! A topic has some of its stream's places, in order; where they are is found by asking how many are left from a place on.
//! The server keeps one event more than are read, and keeps events longer than they are read: what lies before the first
//! that is read proves to a reader that it missed nothing.

mod backward;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_history::{Direction, Head, Page, Read, ReadFrom, record};
use fanfare_model::{Event, Position, Tag, Timestamp};

use crate::classes::Spot;
use crate::error::Fault;
use crate::gets::{BATCH_MAX, BYTES_MAX, Get, Stored};
use crate::interest::Interest;
use crate::link::Link;
use crate::lives::{Lives, TopicLife};

/// What is needed to read.
pub(crate) struct Reading<'a> {
    pub(crate) link: &'a Link,
    pub(crate) lives: &'a Lives,
    pub(crate) interest: Option<&'a Interest>,
}

/// The front of a topic: what is found of it first.
#[derive(Debug, Clone)]
struct Front {
    life: TopicLife,
    /// The first that is read, and how many are from there on. `None`: there is none.
    first: Option<Stored>,
    count: u64,
    /// The place of the one before the first.
    before: Before,
    /// The last, if it is known by now.
    last: Option<Stored>,
    /// There was nothing at all.
    is_bare: bool,
}

/// How often the front of a topic is looked for again that has a last event and no first.
const LOOKS: u32 = 20;

/// How long a live message may be on its way to a node whose question for the last one was answered.
const ON_ITS_WAY_MAX: Duration = Duration::from_millis(250);

/// How long to wait before a topic is looked at again that changed while it was read.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// What is before the first that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// This one, or nothing at all if 0.
    At(u64),
    /// It has gone, if there was one.
    Unknown,
}

impl Reading<'_> {
    /// The head of a topic.
    pub(crate) async fn head(&self, spot: &Spot) -> Result<Head, Fault> {
        let since = Instant::now();
        loop {
            let stream = spot.class.stream.life(self.link, self.link.timeout).await?;
            let head = self.head_within(spot, self.lives.within(spot, &stream)).await;
            if spot.class.stream.is_still(self.link, &stream) {
                return head;
            }
            if since.elapsed() > self.link.timeout {
                return Err(Fault::Unavailable("the connection breaks again and again".to_owned()));
            }
        }
    }

    async fn head_within(&self, spot: &Spot, life: TopicLife) -> Result<Head, Fault> {
        if spot.class.passing {
            return self.passing_head(spot, life).await;
        }
        let front = self.front(spot, life, None).await?;
        let head = self.head_of(spot, &front, None).await?;
        // A replica may lag behind what this node knows. The leader does not; if that is behind as well, something is lost.
        match self.interest.and_then(|interest| interest.known(spot, life)) {
            Some(known) if known.offset > head.last.offset => self.head_by_leader(spot, life, head).await,
            _ => Ok(head),
        }
    }

    async fn head_by_leader(&self, spot: &Spot, life: TopicLife, head: Head) -> Result<Head, Fault> {
        let Some(last) = self.link.last_by_leader(&spot.class.stream.name, &spot.subject).await? else {
            return Ok(head);
        };
        if last.seq < life.start() || last.seq <= head.last.offset {
            return Ok(head);
        }
        let first = if head.events == 0 { last.seq } else { head.first };
        Ok(Head { last: position(life, &last)?, first, events: head.events.max(1), time: Some(last.time), ..head })
    }

    async fn passing_head(&self, spot: &Spot, life: TopicLife) -> Result<Head, Fault> {
        let known = || self.interest.and_then(|interest| interest.known(spot, life));
        let last = self.link.get(&spot.class.stream.name, &Get::last(vec![&spot.subject])).await?;
        let (last, time) = match last.messages.first().filter(|last| last.seq > life.after) {
            Some(last) => (position(life, last)?, Some(last.time)),
            None => (life.origin(), None),
        };
        // What nobody can read any more is missed for good. So it is not said to be there while it is on its way here.
        let until = Instant::now() + ON_ITS_WAY_MAX;
        while known().is_some_and(|known| known.offset < last.offset) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let last = known().filter(|known| known.offset > last.offset).unwrap_or(last);
        Ok(Head { last, first: last.offset + 1, time, ..Head::empty(life.epoch) })
    }

    async fn front(&self, spot: &Spot, life: TopicLife, oldest: Option<Timestamp>) -> Result<Front, Fault> {
        for look in 0..LOOKS {
            // If nothing was there, a last one has come meanwhile (or to another replica), perhaps with others before it:
            // they must not look as if they were gone.
            if let Some(front) = self.look_at_front(spot, life, oldest).await?
                && (!front.is_bare || self.last(spot, life).await?.is_none_or(|last| last.seq < life.start()))
            {
                return Ok(front);
            }
            tokio::time::sleep(Duration::from_millis(5) * look).await;
        }
        Err(Fault::Unavailable("the replicas do not agree on the first event of a topic".to_owned()))
    }

    /// The last event of a topic.
    async fn last(&self, spot: &Spot, life: TopicLife) -> Result<Option<Stored>, Fault> {
        let found = self.link.get(&spot.class.stream.name, &Get::last(vec![&spot.subject])).await?;
        Ok(found.messages.into_iter().find(|last| last.seq > life.after))
    }

    /// `None` if it has moved meanwhile.
    async fn look_at_front(
        &self,
        spot: &Spot,
        life: TopicLife,
        oldest: Option<Timestamp>,
    ) -> Result<Option<Front>, Fault> {
        let stream = &spot.class.stream.name;
        let found = self.link.get(stream, &Get::next(&spot.subject, life.start(), 2)).await?;
        let count = found.count();
        let mut messages = found.messages.into_iter().filter(|stored| !stored.is_marker);
        let (first, second) = (messages.next(), messages.next());
        let before = self.before_floor(spot, life).await?;
        let last = match count {
            1 => first.clone(),
            2 => second.clone(),
            _ => None,
        };
        let mut front = Front { life, first, count, before, last, is_bare: count == 0 };
        // One more is kept than is read.
        if spot.class.events_max.is_some_and(|max| count > max) {
            front = Front {
                before: front.first.as_ref().map_or(before, |at| Before::At(at.seq)),
                first: second,
                count: count - 1,
                ..front
            };
        }
        // What is too old is not read, be it there or not.
        if let (Some(oldest), Some(first)) = (oldest, &front.first)
            && first.time < oldest
        {
            let young = self.link.get(stream, &Get::since(&spot.subject, oldest, 1)).await?;
            let count = young.count().min(front.count);
            let young = young.messages.into_iter().next().filter(|young| young.seq > first.seq);
            let before = match &young {
                None => front.before,
                Some(young) => match self.last_before(spot, young.seq).await? {
                    place if place >= first.seq => Before::At(place),
                    // The first was there, and before it.
                    _ => return Ok(None),
                },
            };
            front = Front { before, count: if young.is_some() { count } else { 0 }, first: young, ..front };
        }
        Ok(Some(front))
    }

    /// What is before everything that is read, as far as truncating says.
    async fn before_floor(&self, spot: &Spot, life: TopicLife) -> Result<Before, Fault> {
        if life.floor <= life.after {
            return Ok(Before::Unknown);
        }
        let place = self.last_before(spot, life.floor).await?;
        Ok(Before::At(if place > life.after { place } else { life.floor - 1 }))
    }

    /// The place of the last message before `seq`; 0 if there is none.
    pub(crate) async fn last_before(&self, spot: &Spot, seq: u64) -> Result<u64, Fault> {
        let found = self.link.get(&spot.class.stream.name, &Get::last_until(&spot.subject, seq - 1)).await?;
        Ok(found.messages.first().map_or(0, |stored| stored.seq))
    }

    /// What was read and can be proved to be without holes, and what is before it. A server that removes events while it
    /// answers may leave some out; but it removes the oldest first, so that what follows one that is still there afterwards
    /// is whole. `None` if nothing is left of it.
    async fn whole(
        &self,
        spot: &Spot,
        front: &Front,
        mut found: Vec<Stored>,
    ) -> Result<Option<(Before, Vec<Stored>)>, Fault> {
        let Some(oldest) = found.first().map(|oldest| oldest.seq) else { return Ok(Some((front.before, found))) };
        if front.first.as_ref().is_some_and(|first| first.seq == oldest) {
            if found.len() == 1 || self.last_before(spot, oldest + 1).await? == oldest {
                return Ok(Some((front.before, found)));
            }
        } else {
            let before = self.last_before(spot, oldest).await?;
            if before >= front.life.start() {
                return Ok(Some((Before::At(before), found)));
            }
        }
        let first = self.link.get(&spot.class.stream.name, &Get::next(&spot.subject, front.life.start(), 1)).await?;
        let Some(first) = first.messages.first().map(|first| first.seq) else { return Ok(None) };
        found.retain(|stored| stored.seq > first);
        let is_left = first > oldest && !found.is_empty();
        Ok(is_left.then_some((Before::At(first), found)))
    }

    /// `prev` of the first event that is kept. Nothing lies between, but what the stream's limits may have removed.
    async fn prev_of_first(&self, spot: &Spot, front: &Front) -> Result<u64, Fault> {
        match front.before {
            Before::At(place) => Ok(place),
            Before::Unknown => {
                let horizon = spot.class.stream.info(self.link).await?.horizon();
                Ok(front.life.prev(horizon - 1))
            }
        }
    }

    /// The head of which `front` is the front. `asked`: from where on a reader looks, and what it finds there is all there is.
    async fn head_of(&self, spot: &Spot, front: &Front, asked: Option<u64>) -> Result<Head, Fault> {
        let life = front.life;
        let last = match &front.last {
            // After a bare front comes what was not there yet; of a truncated topic the last is there still.
            None => self.last(spot, life).await?.filter(|last| !front.is_bare || last.seq < life.start()),
            last => last.clone(),
        };
        if let Some(last) = last {
            let after = last.seq + 1;
            let first = front.first.as_ref().map_or(after, |first| first.seq);
            let events = if front.first.is_some() { front.count } else { 0 };
            return Ok(Head { last: position(life, &last)?, first, events, bytes: 0, time: Some(last.time) });
        }
        let last = self.end_of_nothing(spot, life, asked).await?;
        Ok(Head { last, first: last.offset + 1, ..Head::empty(life.epoch) })
    }

    /// The end of a topic of which nothing is there (any more).
    async fn end_of_nothing(&self, spot: &Spot, life: TopicLife, asked: Option<u64>) -> Result<Position, Fault> {
        let known = self.interest.and_then(|interest| interest.known(spot, life));
        let seen = asked.map(|asked| asked.saturating_sub(1));
        // What this node knows is as true as before.
        if let Some(known) = known.filter(|known| seen.is_none_or(|seen| known.offset <= seen)) {
            return Ok(known);
        }
        let info = spot.class.stream.info(self.link).await?;
        let gone = info.horizon() - 1;
        if gone <= life.after && known.is_none() {
            return Ok(life.origin());
        }
        // There may have been something up to `gone`. Who has seen what was then has missed nothing.
        match (seen.filter(|seen| *seen >= gone), known) {
            (None, Some(known)) => Ok(known),
            (seen, _) => {
                let offset = seen.unwrap_or(info.state.last_seq);
                Ok(Position { epoch: life.epoch, offset, tag: Tag::NONE })
            }
        }
    }

    /// Reads a page.
    pub(crate) async fn page(&self, spot: &Spot, read: &Read) -> Result<Page, Fault> {
        let since = Instant::now();
        loop {
            let stream = spot.class.stream.life(self.link, self.link.timeout).await?;
            let page = self.page_within(spot, read, self.lives.within(spot, &stream)).await;
            if spot.class.stream.is_still(self.link, &stream)
                && let Some(page) = page.transpose()
            {
                return page;
            }
            if since.elapsed() > self.link.timeout {
                let why = "the connection breaks again and again, or events are removed faster than they are read";
                return Err(Fault::Unavailable(why.to_owned()));
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// `None` if nothing of the page was there any more when it had been read.
    async fn page_within(&self, spot: &Spot, read: &Read, life: TopicLife) -> Result<Option<Page>, Fault> {
        if spot.class.passing {
            return Ok(Some(Page { events: Vec::new(), head: self.passing_head(spot, life).await?, more: false }));
        }
        // Without the servers' time nothing is hidden that they still have.
        let oldest = read.age_max.and_then(|age| self.link.server_time().map(|now| now.minus(age)));
        let front = self.front(spot, life, oldest).await?;
        let asked = match (read.direction, read.from) {
            (Direction::Forward, ReadFrom::Offset(offset)) => Some(offset),
            _ => None,
        };
        let Some(first) = front.first.clone() else {
            return Ok(Some(Page { events: Vec::new(), head: self.head_of(spot, &front, asked).await?, more: false }));
        };
        let (found, more) = match read.direction {
            Direction::Forward => self.forward(spot, read, first.seq).await?,
            Direction::Backward => self.backward(spot, read, &front, first.seq).await?,
        };
        let mut front = front;
        // What was read is no older than the head.
        if front.last.as_ref().is_none_or(|last| found.last().is_some_and(|found| found.seq > last.seq)) {
            let at_end = !more && read.direction == Direction::Forward;
            front.last = found.last().filter(|_| at_end).cloned();
        }
        let mut head = self.head_of(spot, &front, asked).await?;
        if found.is_empty() && !more && read.limit > 0 && asked.is_some_and(|asked| asked <= head.last.offset) {
            // Another replica has more already; what this one has is what this page is about.
            head.last = Position { offset: asked.unwrap_or(1).saturating_sub(1), tag: Tag::NONE, ..head.last };
        }
        let Some((before, found)) = self.whole(spot, &front, found).await? else { return Ok(None) };
        let events = self.events(spot, &front, before, found).await?;
        Ok(Some(arrange(read, head, events, more)))
    }

    /// Messages from where `read` begins, at least as many as it may have, and whether there are more.
    async fn forward(&self, spot: &Spot, read: &Read, first: u64) -> Result<(Vec<Stored>, bool), Fault> {
        let mut get = match read.from {
            ReadFrom::Offset(offset) => Get::next(&spot.subject, offset.max(first), 0),
            ReadFrom::End => Get::next(&spot.subject, first, 0),
            ReadFrom::Time(time) => Get::since(&spot.subject, time, 0),
        };
        let mut found: Vec<Stored> = Vec::new();
        let mut bytes = 0;
        loop {
            // One more than may be had tells whether there is more.
            get.batch = (read.limit - found.len()).saturating_add(1).min(BATCH_MAX);
            get.max_bytes = Some(read.bytes_max.saturating_add(64 << 10).min(BYTES_MAX));
            let batch = self.link.get(&spot.class.stream.name, &get).await?;
            let Some(end) = batch.messages.last().map(|last| last.seq) else { return Ok((found, false)) };
            for stored in batch.messages.into_iter().filter(|stored| stored.seq >= first && !stored.is_marker) {
                bytes += stored.payload.len();
                found.push(stored);
            }
            if batch.pending == 0 || found.len() > read.limit || bytes / 2 > read.bytes_max {
                return Ok((found, batch.pending > 0));
            }
            get = Get::next(&spot.subject, end + 1, 0);
        }
    }

    /// The events of messages, from older to newer.
    async fn events(
        &self,
        spot: &Spot,
        front: &Front,
        before: Before,
        found: Vec<Stored>,
    ) -> Result<Vec<Arc<Event>>, Fault> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut prev = match before {
            Before::At(place) => place,
            Before::Unknown => self.prev_of_first(spot, front).await?,
        };
        let mut events = Vec::with_capacity(found.len());
        for stored in found {
            let offset = stored.seq;
            events.push(Arc::new(event(spot, front.life, prev, &stored)?));
            prev = offset;
        }
        Ok(events)
    }
}

fn event(spot: &Spot, life: TopicLife, prev: u64, stored: &Stored) -> Result<Event, Fault> {
    let draft = record::decode_draft(&stored.payload).map_err(|damage| Fault::Garbled(damage.to_string()))?;
    Ok(Event { topic: spot.key.clone(), epoch: life.epoch, offset: stored.seq, prev, time: stored.time, draft })
}

fn position(life: TopicLife, stored: &Stored) -> Result<Position, Fault> {
    if stored.is_marker {
        return Ok(Position { epoch: life.epoch, offset: stored.seq, tag: Tag::NONE });
    }
    let draft = record::decode_draft(&stored.payload).map_err(|damage| Fault::Garbled(damage.to_string()))?;
    Ok(Position { epoch: life.epoch, offset: stored.seq, tag: Tag::of(&draft.id) })
}

/// The page of `events`, which are from older to newer and may be more than asked for.
fn arrange(read: &Read, head: Head, mut events: Vec<Arc<Event>>, more: bool) -> Page {
    if read.direction == Direction::Backward {
        events.reverse();
    }
    let mut bytes = 0;
    let fits = events.iter().take(read.limit).take_while(|event| {
        let room = bytes < read.bytes_max || bytes == 0;
        bytes += event.draft.size();
        room
    });
    let count = fits.count();
    let more = more || count < events.len();
    events.truncate(count);
    Page { events, head, more }
}
