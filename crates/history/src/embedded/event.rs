//! One event as it is stored.

use bytes::Bytes;
use fanfare_model::{
    Data, DataKind, Draft, Epoch, Event, EventId, EventName, Headers, Key, Schema, Source, Timestamp, TopicKey, UserId,
};

use super::codec::{Damage, Decoder, Encoder};

const VERSION: u8 = 1;

// Which optional fields follow.
const NAME: u8 = 1;
const OCCURRED_AT: u8 = 1 << 1;
const USER: u8 = 1 << 2;
const SOURCE: u8 = 1 << 3;
const KEY: u8 = 1 << 4;
const SCHEMA: u8 = 1 << 5;
const HEADERS: u8 = 1 << 6;

/// What can be learnt of a stored event from its first bytes, without checking the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) size: u64,
    pub(super) time: Timestamp,
}

impl Summary {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Damage> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => {
                let (size, rest) = rest.split_first_chunk().ok_or(Damage::Short)?;
                let (time, _) = rest.split_first_chunk().ok_or(Damage::Short)?;
                Ok(Self {
                    size: u64::from(u32::from_le_bytes(*size)),
                    time: Timestamp::from_micros(i64::from_le_bytes(*time)),
                })
            }
            Some((version, _)) => Err(Damage::Version(*version)),
            None => Err(Damage::Short),
        }
    }
}

pub(super) fn encode(event: &Event) -> Vec<u8> {
    let draft = &event.draft;
    let size = draft.size();
    let mut to = Encoder::new(VERSION, size + 64);
    to.u32(u32::try_from(size).unwrap_or(u32::MAX));
    to.i64(event.time.as_micros());
    to.u64(event.prev);
    to.u8(match draft.data.kind() {
        DataKind::Json => 0,
        DataKind::Text => 1,
        DataKind::Binary => 2,
    });
    let texts = [
        (NAME, draft.name.as_ref().map(EventName::as_str)),
        (USER, draft.user.as_ref().map(UserId::as_str)),
        (SOURCE, draft.source.as_ref().map(Source::as_str)),
        (KEY, draft.key.as_ref().map(Key::as_str)),
        (SCHEMA, draft.schema.as_ref().map(Schema::as_str)),
    ];
    let mut fields = texts.iter().filter(|(_, text)| text.is_some()).fold(0, |fields, (bit, _)| fields | bit);
    fields |= if draft.occurred_at.is_some() { OCCURRED_AT } else { 0 };
    fields |= if draft.headers.is_empty() { 0 } else { HEADERS };
    to.u8(fields);
    to.text(draft.id.as_str());
    for text in texts.iter().filter_map(|(_, text)| *text) {
        to.text(text);
    }
    if let Some(at) = draft.occurred_at {
        to.i64(at.as_micros());
    }
    if !draft.headers.is_empty() {
        to.u8(u8::try_from(draft.headers.len()).unwrap_or(u8::MAX));
        for (name, value) in draft.headers.iter() {
            to.text(name);
            to.text(value);
        }
    }
    to.rest(draft.data.bytes());
    to.finish(event.offset)
}

pub(super) fn decode(topic: &TopicKey, epoch: Epoch, offset: u64, bytes: &[u8]) -> Result<Event, Damage> {
    let mut from = Decoder::new(bytes, VERSION, offset)?;
    from.u32()?;
    let time = Timestamp::from_micros(from.i64()?);
    let prev = from.u64()?;
    let kind = match from.u8()? {
        0 => DataKind::Json,
        1 => DataKind::Text,
        2 => DataKind::Binary,
        _ => return Err(Damage::Field("the kind of its data")),
    };
    let fields = from.u8()?;
    let has = |bit: u8| fields & bit != 0;
    let id = EventId::new(from.text("id")?).map_err(|_| Damage::Field("id"))?;
    let mut text = |bit: u8, field| if has(bit) { from.text(field).map(Some) } else { Ok(None) };
    let name = text(NAME, "name")?.map(EventName::new).transpose().map_err(|_| Damage::Field("name"))?;
    let user = text(USER, "user")?.map(UserId::new).transpose().map_err(|_| Damage::Field("user"))?;
    let source = text(SOURCE, "source")?.map(Source::new).transpose().map_err(|_| Damage::Field("source"))?;
    let key = text(KEY, "key")?.map(Key::new).transpose().map_err(|_| Damage::Field("key"))?;
    let schema = text(SCHEMA, "schema")?.map(Schema::new).transpose().map_err(|_| Damage::Field("schema"))?;
    let occurred_at = if has(OCCURRED_AT) { Some(Timestamp::from_micros(from.i64()?)) } else { None };
    let mut headers = Headers::new();
    if has(HEADERS) {
        for _ in 0..from.u8()? {
            let name = from.text("header name")?;
            let value = from.text("header value")?;
            headers.insert(name, value).map_err(|_| Damage::Field("a header"))?;
        }
    }
    let data = Data::from_stored(kind, Bytes::copy_from_slice(from.rest()));
    let draft = Draft { id, name, data, occurred_at, user, source, key, headers, schema };
    Ok(Event { topic: topic.clone(), epoch, offset, prev, time, draft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Tenant, Topic};
    use proptest::prelude::*;

    fn event() -> Event {
        let mut draft = Draft::new(Data::binary(vec![0_u8, 1, 255]));
        draft.name = Some(EventName::new("message").unwrap());
        draft.user = Some(UserId::new("ada").unwrap());
        draft.source = Some(Source::new("api").unwrap());
        draft.key = Some(Key::new("k").unwrap());
        draft.schema = Some(Schema::new("s.v1").unwrap());
        draft.occurred_at = Some(Timestamp::from_micros(-3));
        draft.headers.insert("traceparent", "00-1").unwrap();
        draft.headers.insert("x", "").unwrap();
        Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("a:b").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 9,
            prev: 4,
            time: Timestamp::from_micros(1234),
            draft,
        }
    }

    #[test]
    fn every_field_comes_back_and_the_summary_agrees() {
        let event = event();
        let bytes = encode(&event);
        assert_eq!(decode(&event.topic, event.epoch, event.offset, &bytes), Ok(event.clone()));
        let summary = Summary::of(&bytes).unwrap();
        assert_eq!((summary.size, summary.time), (event.draft.size() as u64, event.time));
    }

    #[test]
    fn damage_is_named() {
        let event = event();
        let decode = |offset, bytes: &[u8]| decode(&event.topic, event.epoch, offset, bytes).unwrap_err();
        let bytes = encode(&event);
        assert_eq!(decode(8, &bytes), Damage::Checksum, "in another place");
        assert_eq!(decode(9, &[]), Damage::Short);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(9, &damaged), Damage::Checksum, "byte {at}");
            assert!(matches!(decode(9, &bytes[..at]), Damage::Checksum | Damage::Short), "cut at {at}");
        }
        assert_eq!(decode(9, &Encoder::new(9, 0).finish(9)), Damage::Version(9));
        assert_eq!(Summary::of(&[9]), Err(Damage::Version(9)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, offset: u64) {
            let event = event();
            let _ = Summary::of(&bytes);
            // With a right checksum, so that the fields are reached.
            let mut to = Encoder::new(VERSION, bytes.len());
            to.rest(&bytes);
            let _ = decode(&event.topic, event.epoch, offset, &to.finish(offset));
            prop_assert!(decode(&event.topic, event.epoch, offset, &bytes).is_err());
        }
    }
}
