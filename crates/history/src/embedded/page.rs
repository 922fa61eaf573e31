//! Stored events: those of a topic that lie together, in one value.

use std::iter::Peekable;

use bytes::Bytes;
use fanfare_model::{Epoch, Event, TopicKey};

use super::key::TopicId;
use crate::record::codec::{Damage, Decoder, seal, unseal};
use crate::record::event::{self, OVERHEAD_BYTES, Summary};

const VERSION: u8 = 1;

/// A page has at most so many events…
pub(super) const EVENTS_MAX: usize = if cfg!(test) { 8 } else { 256 };
/// …and is closed when it has so many bytes: one read of the disk, and small beside what a reader is given at
/// once.
const BYTES_MAX: usize = 32 << 10;

fn place(topic: TopicId, first: u64) -> u64 {
    topic.rotate_left(32) ^ first
}

/// Events of one topic that lie together; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Page {
    bytes: Bytes,
}

/// One event of a page, where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    page: &'a Bytes,
    pub(super) summary: Summary,
    event: &'a [u8],
}

impl Page {
    /// Takes as many of `events`, of which there is one, as are a page.
    pub(super) fn encode<'a>(topic: TopicId, events: &mut Peekable<impl Iterator<Item = &'a Event>>) -> Vec<u8> {
        let first = events.peek().map_or(0, |event| event.offset);
        let mut page = Vec::new();
        let mut bytes = 0;
        for event in events.take(EVENTS_MAX) {
            page.push(event);
            bytes += event.draft.size() + OVERHEAD_BYTES;
            if bytes >= BYTES_MAX {
                break;
            }
        }
        seal(VERSION, place(topic, first), bytes, |to| {
            for event in page {
                to.part(|to| event::encode(event, to));
            }
        })
    }

    /// Checks the page whose first event has this offset.
    pub(super) fn decode(topic: TopicId, first: u64, bytes: &Bytes) -> Result<Self, Damage> {
        let events = unseal(bytes, VERSION, place(topic, first))?.rest();
        Ok(Self { bytes: bytes.slice_ref(events) })
    }

    /// Its events in their order.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<Stored<'_>, Damage>> {
        let mut from = Decoder::new(&self.bytes);
        std::iter::from_fn(move || {
            if from.is_empty() {
                return None;
            }
            let event = from.part();
            Some(event.and_then(|event| {
                let summary = Summary::read(&mut Decoder::new(event))?;
                Ok(Stored { page: &self.bytes, summary, event })
            }))
        })
        .scan(false, |failed, event| {
            // What comes after a damaged one cannot be found.
            (!std::mem::replace(failed, event.is_err())).then_some(event)
        })
    }
}

impl Stored<'_> {
    /// The whole event; its data stay a part of the page.
    pub(super) fn decode(&self, topic: &TopicKey, epoch: Epoch) -> Result<Event, Damage> {
        event::decode(topic, epoch, self.page, self.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Draft, Tenant, Timestamp, Topic};

    #[test]
    fn events_come_back_page_by_page() {
        let topic = TopicKey::new(Tenant::default(), Topic::new("a:b").unwrap());
        let epoch = Epoch::from_u32(7).unwrap();
        let event = |offset: u64| {
            let draft = Draft::new(Data::binary(vec![7; if offset == 5 { BYTES_MAX } else { 10 }]));
            Event { topic: topic.clone(), epoch, offset, prev: offset - 1, time: Timestamp::from_micros(3), draft }
        };
        let events: Vec<Event> = (1..=20).map(event).collect();
        let mut rest = events.iter().peekable();
        let (mut counts, mut at) = (Vec::new(), 0);
        while let Some(first) = rest.peek().copied() {
            let bytes = Page::encode(3, &mut rest);
            let page = Page::decode(3, first.offset, &Bytes::from(bytes.clone())).unwrap();
            let found: Vec<Event> =
                page.events().map(|stored| stored.unwrap().decode(&topic, epoch).unwrap()).collect();
            assert_eq!(found, events[at..at + found.len()]);
            assert_eq!(page.events().next().unwrap().unwrap().summary, Summary::of(first));
            for at in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert!(Page::decode(3, first.offset, &Bytes::from(damaged)).is_err());
            }
            assert!(Page::decode(4, first.offset, &Bytes::from(bytes.clone())).is_err(), "of another topic");
            assert!(Page::decode(3, first.offset + 1, &Bytes::from(bytes)).is_err(), "of another place");
            counts.push(found.len());
            at += found.len();
        }
        assert_eq!(counts, [5, EVENTS_MAX, 7]);
    }
}
