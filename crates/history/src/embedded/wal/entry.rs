//! What a frame of the write-ahead log says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_model::{Event, Tenant, Topic, TopicKey};

use crate::embedded::topic::TopicRecord;
use crate::record::codec::{Damage, Decoder, Encoder};
use crate::record::event;

const TOPIC: u8 = 1;
const CEILING: u8 = 2;

/// One of the things that a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Entry {
    /// A topic is now as the record says, and these are its new events, each with the window in which its id is
    /// remembered. Some may not be kept any more by the record itself.
    Topic(TopicKey, Box<TopicRecord>, Vec<(Arc<Event>, Duration)>),
    /// No topic uses this offset or a later one.
    Ceiling(u64),
}

/// Writes [`Entry::Topic`].
pub(in crate::embedded) fn put_topic<'a>(
    to: &mut Vec<u8>,
    topic: &TopicKey,
    record: &TopicRecord,
    events: impl ExactSizeIterator<Item = (&'a Event, Duration)>,
) {
    let mut to = Encoder::new(to);
    to.u8(TOPIC);
    to.text(topic.tenant.as_str());
    to.text(topic.topic.as_str());
    record.write(&mut to);
    // A group has far fewer.
    to.u32(u32::try_from(events.len()).unwrap_or(u32::MAX));
    for (event, window) in events {
        to.u64(u64::try_from(window.as_micros()).unwrap_or(u64::MAX));
        to.part(|to| event::encode(event, to));
    }
}

/// Writes [`Entry::Ceiling`].
pub(in crate::embedded) fn put_ceiling(to: &mut Vec<u8>, ceiling: u64) {
    let mut to = Encoder::new(to);
    to.u8(CEILING);
    to.u64(ceiling);
}

/// Everything that a payload says.
pub(super) fn read(payload: &Bytes) -> Result<Vec<Entry>, Damage> {
    let mut from = Decoder::new(payload);
    let mut entries = Vec::new();
    while !from.is_empty() {
        entries.push(match from.u8()? {
            TOPIC => read_topic(payload, &mut from)?,
            CEILING => Entry::Ceiling(from.u64()?),
            _ => return Err(Damage::Field("the kind of an entry")),
        });
    }
    Ok(entries)
}

fn read_topic(payload: &Bytes, from: &mut Decoder<'_>) -> Result<Entry, Damage> {
    let tenant = Tenant::new(from.text("tenant")?).map_err(|_| Damage::Field("tenant"))?;
    let topic = Topic::from_stored(from.text("topic")?).map_err(|_| Damage::Field("topic"))?;
    let key = TopicKey::new(tenant, topic);
    let record = TopicRecord::read(from)?;
    let mut events = Vec::new();
    for _ in 0..from.u32()? {
        let window = Duration::from_micros(from.u64()?);
        let event = event::decode(&key, record.head.last.epoch, payload, from.part()?)?;
        events.push((Arc::new(event), window));
    }
    Ok(Entry::Topic(key, Box::new(record), events))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Draft, Epoch, Timestamp};
    use proptest::prelude::*;

    #[test]
    fn entries_come_back() {
        let topic = TopicKey::new(Tenant::default(), Topic::new("a:b").unwrap());
        let epoch = Epoch::from_u32(7).unwrap();
        let record = TopicRecord::new(5, epoch);
        let event = |offset: u64| {
            let (topic, draft) = (topic.clone(), Draft::new(Data::text("x")));
            Arc::new(Event { topic, epoch, offset, prev: offset - 1, time: Timestamp::from_micros(3), draft })
        };
        let events = vec![(event(1), Duration::from_secs(5)), (event(2), Duration::MAX)];
        let mut bytes = Vec::new();
        put_ceiling(&mut bytes, 9);
        put_topic(&mut bytes, &topic, &record, events.iter().map(|(event, window)| (&**event, *window)));
        put_topic(&mut bytes, &topic, &record, std::iter::empty());
        let mut expected = events;
        expected[1].1 = Duration::from_micros(u64::MAX);
        assert_eq!(
            read(&Bytes::from(bytes)).unwrap(),
            [
                Entry::Ceiling(9),
                Entry::Topic(topic.clone(), Box::new(record), expected),
                Entry::Topic(topic, Box::new(record), Vec::new()),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&Bytes::from(bytes));
        }
    }
}
