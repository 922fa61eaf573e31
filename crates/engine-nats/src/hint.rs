//! Hints of a log that is not NATS's own: what one message says of a topic.
//!
//! A byte says what it is; then come epoch, offset and tag of a place (little-endian), and for an event its record.

use fanfare_history::{Head, Reset, record};
use fanfare_model::{Epoch, Event, Position, Tag, TopicKey};

/// What a hint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// This event was stored.
    Stored(Event),
    /// There is an event at this place, which is too large to be carried.
    Heard(Position),
    /// The topic was purged, and begins anew here.
    Reset(Head),
}

const STORED: u8 = 1;
const HEARD: u8 = 2;
const RESET: u8 = 3;
/// What an event's record needs beyond what the event counts for, and the place before it.
const OVERHEAD_BYTES: usize = 4096;

fn place(kind: u8, at: Position) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&at.epoch.as_u32().to_le_bytes());
    bytes.extend_from_slice(&at.offset.to_le_bytes());
    bytes.extend_from_slice(&at.tag.as_u16().to_le_bytes());
    bytes
}

/// The hint of an event; of one that does not fit into `bytes_max` only its place.
pub(crate) fn of_event(event: &Event, bytes_max: usize) -> Vec<u8> {
    if event.draft.size() > bytes_max.saturating_sub(OVERHEAD_BYTES) {
        return place(HEARD, event.position());
    }
    let mut bytes = place(STORED, event.position());
    record::encode(event, &mut bytes);
    bytes
}

/// The hint of a purge.
pub(crate) fn of_reset(reset: &Reset) -> Vec<u8> {
    place(RESET, reset.head.last)
}

/// What a hint of `topic` says; `None` if it is none.
pub(crate) fn read(topic: &TopicKey, bytes: &[u8]) -> Option<Hint> {
    let (kind, rest) = bytes.split_first()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (tag, rest) = rest.split_first_chunk()?;
    let (offset, tag) = (u64::from_le_bytes(*offset), Tag::from_u16(u16::from_le_bytes(*tag)));
    let at = Position { epoch: Epoch::from_u32(u32::from_le_bytes(*epoch))?, offset, tag };
    match *kind {
        STORED => record::decode(topic, at.epoch, rest).ok().map(Hint::Stored),
        HEARD => Some(Hint::Heard(at)),
        RESET => {
            let head = Head { last: at, first: at.offset + 1, ..Head::empty(at.epoch) };
            Some(Hint::Reset(head))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Draft, Tenant, Timestamp, Topic};

    #[test]
    fn hints_come_back() {
        let topic = TopicKey::new(Tenant::default(), Topic::new("a").unwrap());
        let (epoch, time) = (Epoch::from_u32(7).unwrap(), Timestamp::from_seconds(1));
        let draft = Draft::new(Data::text("x".repeat(100)));
        let event = Event { topic: topic.clone(), epoch, offset: 9, prev: 4, time, draft };
        assert_eq!(read(&topic, &of_event(&event, 1 << 20)), Some(Hint::Stored(event.clone())));
        assert_eq!(read(&topic, &of_event(&event, OVERHEAD_BYTES + 100)), Some(Hint::Heard(event.position())));
        let reset = Reset { topic: topic.clone(), head: Head::empty(epoch) };
        assert_eq!(read(&topic, &of_reset(&reset)), Some(Hint::Reset(reset.head)));
        let whole = of_event(&event, 1 << 20);
        for end in 0..whole.len() {
            assert_eq!(read(&topic, &whole[..end]), None, "cut at {end}");
        }
        assert_eq!(read(&topic, &[9; 40]), None);
    }
}
