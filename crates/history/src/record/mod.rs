//! Events as bytes: as engines store them, and carry them from node to node.
//!
//! A record has a version, the parts of the event and a checksum. It does not name its topic or epoch, which whoever
//! stores it knows. An engine whose server gives events their places stores a draft, and the place beside it.

pub(crate) mod codec;
pub(crate) mod event;

use bytes::Bytes;
use fanfare_model::{Draft, Epoch, Event, TopicKey};

pub use codec::Damage;
use codec::{Decoder, seal_onto, unseal};

const EVENT: u8 = 1;
const DRAFT: u8 = 2;
/// A record may be anywhere.
const PLACE: u64 = 0;

/// Appends the record of `event` to `to`: offset, prev, time and the draft.
pub fn encode(event: &Event, to: &mut Vec<u8>) {
    to.reserve(event.draft.size() + event::OVERHEAD_BYTES);
    seal_onto(to, EVENT, PLACE, |to| event::encode(event, to));
}

/// The event of a record that [`encode`] made.
pub fn decode(topic: &TopicKey, epoch: Epoch, bytes: &[u8]) -> Result<Event, Damage> {
    let mut from = unseal(bytes, EVENT, PLACE)?;
    let event::Summary { offset, time, .. } = event::Summary::read(&mut from)?;
    let prev = from.u64()?;
    let draft = draft(from)?;
    Ok(Event { topic: topic.clone(), epoch, offset, prev, time, draft })
}

/// Appends the record of a draft to `to`.
pub fn encode_draft(draft: &Draft, to: &mut Vec<u8>) {
    to.reserve(draft.size() + event::OVERHEAD_BYTES);
    seal_onto(to, DRAFT, PLACE, |to| event::encode_draft(draft, to));
}

/// The draft of a record that [`encode_draft`] made.
pub fn decode_draft(bytes: &[u8]) -> Result<Draft, Damage> {
    draft(unseal(bytes, DRAFT, PLACE)?)
}

/// Its data are copied: an event that is kept must not keep the message it came in.
fn draft(from: Decoder<'_>) -> Result<Draft, Damage> {
    event::decode_draft(from, Bytes::copy_from_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Tenant, Timestamp, Topic};
    use proptest::prelude::*;

    fn event() -> Event {
        let mut draft = Draft::new(Data::text("hello"));
        draft.headers.insert("x", "y").unwrap();
        Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("a:b").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 9,
            prev: 4,
            time: Timestamp::from_micros(-1234),
            draft,
        }
    }

    #[test]
    fn events_and_drafts_come_back_and_every_changed_byte_is_noticed() {
        let event = event();
        let mut bytes = b"before".to_vec();
        encode(&event, &mut bytes);
        let record = bytes.split_off(6);
        assert_eq!(bytes, b"before");
        assert_eq!(decode(&event.topic, event.epoch, &record), Ok(event.clone()));
        assert!(matches!(decode_draft(&record), Err(Damage::Version(EVENT))));
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 0x40;
            assert_eq!(decode(&event.topic, event.epoch, &damaged), Err(Damage::Checksum), "byte {at}");
            assert!(decode(&event.topic, event.epoch, &record[..at]).is_err(), "cut at {at}");
        }
        let mut record = Vec::new();
        encode_draft(&event.draft, &mut record);
        assert_eq!(decode_draft(&record), Ok(event.draft.clone()));
        assert!(decode(&event.topic, event.epoch, &record).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let event = event();
            // Behind a right checksum, so that the parts are looked at.
            let mut record = Vec::new();
            seal_onto(&mut record, EVENT, PLACE, |to| to.bytes(&bytes));
            let _ = decode(&event.topic, event.epoch, &record);
            let mut record = Vec::new();
            seal_onto(&mut record, DRAFT, PLACE, |to| to.bytes(&bytes));
            let _ = decode_draft(&record);
            assert!(decode_draft(&bytes).is_err() || bytes.len() > 4);
        }
    }
}
