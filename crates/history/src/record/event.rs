//! The parts of an event, one after the other. Whoever holds the bytes checks them.

use bytes::Bytes;
use fanfare_model::{
    Data, DataKind, Draft, Epoch, Event, EventId, EventName, Headers, Key, Schema, Source, Timestamp, TopicKey, UserId,
};

use super::codec::{Damage, Decoder, Encoder};

// Which optional fields follow.
const NAME: u8 = 1;
const OCCURRED_AT: u8 = 1 << 1;
const USER: u8 = 1 << 2;
const SOURCE: u8 = 1 << 3;
const KEY: u8 = 1 << 4;
const SCHEMA: u8 = 1 << 5;
const HEADERS: u8 = 1 << 6;

/// What retention and searching want to know of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) time: Timestamp,
}

impl Summary {
    pub(crate) fn of(event: &Event) -> Self {
        Self { offset: event.offset, size: event.draft.size() as u64, time: event.time }
    }

    /// Reads the first fields of a stored event.
    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self { offset: from.u64()?, size: u64::from(from.u32()?), time: Timestamp::from_micros(from.i64()?) })
    }
}

/// The bytes that an event takes on the disk beyond what [`Draft::size`] counts, at most, but for its headers.
pub(crate) const OVERHEAD_BYTES: usize = 64;

pub(crate) fn encode(event: &Event, to: &mut Encoder<'_>) {
    to.u64(event.offset);
    to.u32(u32::try_from(event.draft.size()).unwrap_or(u32::MAX));
    to.i64(event.time.as_micros());
    to.u64(event.prev);
    encode_draft(&event.draft, to);
}

/// All that the publisher said.
pub(crate) fn encode_draft(draft: &Draft, to: &mut Encoder<'_>) {
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
    to.bytes(draft.data.bytes());
}

/// Reads an event that is a part of `page`; its data stay where they are.
pub(crate) fn decode(topic: &TopicKey, epoch: Epoch, page: &Bytes, event: &[u8]) -> Result<Event, Damage> {
    let mut from = Decoder::new(event);
    let Summary { offset, time, .. } = Summary::read(&mut from)?;
    let prev = from.u64()?;
    let draft = decode_draft(from, |data| page.slice_ref(data))?;
    Ok(Event { topic: topic.clone(), epoch, offset, prev, time, draft })
}

/// Reads what [`encode_draft`] wrote; `keep` says where its data shall be.
pub(crate) fn decode_draft(mut from: Decoder<'_>, keep: impl FnOnce(&[u8]) -> Bytes) -> Result<Draft, Damage> {
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
    let data = Data::from_stored(kind, keep(from.rest()));
    Ok(Draft { id, name, data, occurred_at, user, source, key, headers, schema })
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
        let mut bytes = Vec::new();
        encode(&event, &mut Encoder::new(&mut bytes));
        let page = Bytes::from(bytes);
        assert_eq!(decode(&event.topic, event.epoch, &page, &page), Ok(event.clone()));
        assert_eq!(Summary::read(&mut Decoder::new(&page)), Ok(Summary::of(&event)));
        for cut in 0..page.len() - 3 {
            assert!(decode(&event.topic, event.epoch, &page, &page[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let event = event();
            let page = Bytes::from(bytes);
            let _ = decode(&event.topic, event.epoch, &page, &page);
        }
    }
}
