//! Events and messages as JSON: the one shape that every JSON protocol shows and takes.
//!
//! [`write_event`] writes what readers get (the body of a WebSocket `event` frame, an SSE envelope, a line of
//! NDJSON, an element of a history page). [`Message`] is what publishers send (the HTTP API, a WebSocket
//! `publish`). Members and their order are part of `docs/protocol/`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::event::{Data, DataKind, Draft, Event, Headers};
use crate::names::{EventId, EventName, Key, Schema, Source};
use crate::text::Invalid;
use crate::time::Timestamp;

/// The most characters of a parser's complaint that are passed on: it may quote what was sent.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Appends `event` to `out` as one JSON object without line breaks:
///
/// `{"topic","position","offset","id","name"?,"time","user"?,"source"?,"key"?,"occurred_at"?,"headers"?,"schema"?,"encoding"?,"data"}`
///
/// Times are whole microseconds since 1970. `data` is the payload itself if it is JSON (its bytes as they were
/// published, without CR and LF, which JSON has only between its tokens). Otherwise it is a string, and `encoding`
/// says how to read it: `text`, or `base64` (RFC 4648 section 4, padded).
pub fn write_event(event: &Event, out: &mut Vec<u8>) {
    let draft = &event.draft;
    out.reserve(192 + draft.size());
    out.extend_from_slice(b"{\"topic\":");
    write_string(event.topic.topic.as_str(), out);
    write!(out, ",\"position\":\"{}\",\"offset\":{},\"id\":", event.position(), event.offset).expect("a Vec grows");
    write_string(draft.id.as_str(), out);
    write_member("name", draft.name.as_ref(), out);
    write!(out, ",\"time\":{}", event.time.as_micros()).expect("a Vec grows");
    write_member("user", draft.user.as_ref(), out);
    write_member("source", draft.source.as_ref(), out);
    write_member("key", draft.key.as_ref(), out);
    if let Some(at) = draft.occurred_at {
        write!(out, ",\"occurred_at\":{}", at.as_micros()).expect("a Vec grows");
    }
    if !draft.headers.is_empty() {
        out.extend_from_slice(b",\"headers\":");
        for (at, (name, value)) in draft.headers.iter().enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            write_string(name, out);
            out.push(b':');
            write_string(value, out);
        }
        out.push(b'}');
    }
    write_member("schema", draft.schema.as_ref(), out);
    write_data(&draft.data, out);
    out.push(b'}');
}

fn write_member(name: &str, value: Option<impl AsRef<str>>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        write!(out, ",\"{name}\":").expect("a Vec grows");
        write_string(value.as_ref(), out);
    }
}

fn write_data(data: &Data, out: &mut Vec<u8>) {
    match (data.kind(), data.as_text()) {
        (DataKind::Json, Some(json)) => {
            out.extend_from_slice(b",\"data\":");
            for line in json.as_bytes().split(|byte| matches!(byte, b'\r' | b'\n')) {
                out.extend_from_slice(line);
            }
        }
        (DataKind::Text, Some(text)) => {
            out.extend_from_slice(b",\"encoding\":\"text\",\"data\":");
            write_string(text, out);
        }
        _ => {
            out.extend_from_slice(b",\"encoding\":\"base64\",\"data\":\"");
            // In pieces that need no padding, so that nothing is allocated besides `out`.
            let mut piece = [0; 1024];
            for bytes in data.bytes().chunks(768) {
                let written = STANDARD.encode_slice(bytes, &mut piece).expect("768 bytes are 1,024 characters");
                out.extend_from_slice(&piece[..written]);
            }
            out.push(b'"');
        }
    }
}

/// Appends `text` to `out` as a JSON string. Besides what JSON demands, U+0085, U+2028 and U+2029 are escaped:
/// some clients end a line at them.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let (mut written, mut at) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        let (length, escape) = match byte {
            b'"' => (1, "\\\""),
            b'\\' => (1, "\\\\"),
            b'\n' => (1, "\\n"),
            b'\r' => (1, "\\r"),
            b'\t' => (1, "\\t"),
            0..0x20 => (1, ""),
            0xc2 if bytes[at..].starts_with("\u{85}".as_bytes()) => (2, "\\u0085"),
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (3, "\\u2028"),
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (3, "\\u2029"),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[written..at]);
        if escape.is_empty() {
            write!(out, "\\u{byte:04x}").expect("a Vec grows");
        } else {
            out.extend_from_slice(escape.as_bytes());
        }
        at += length;
        written = at;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// How the `data` of a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A JSON string that stands for its text.
    Text,
    /// A JSON string of base64 (RFC 4648 section 4, padded) that stands for its bytes.
    Base64,
}

/// A message as a publisher writes it. Unknown members are refused by name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message<'a> {
    /// The publisher's own id: the idempotency key.
    pub id: Option<String>,
    /// What kind of thing it says.
    pub name: Option<String>,
    /// The payload. Must be there; `null` is a payload too.
    #[serde(borrow, default, deserialize_with = "present")]
    pub data: Option<&'a RawValue>,
    /// How `data` is written; without it `data` is JSON that stands for itself.
    pub encoding: Option<Encoding>,
    /// What it is about.
    pub key: Option<String>,
    /// When it happened, in microseconds since 1970.
    pub occurred_at: Option<i64>,
    /// Small string map.
    #[serde(default)]
    pub headers: Headers,
    /// Name of the schema of the data.
    pub schema: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
}

impl Message<'_> {
    /// Checks every member and makes a draft of them; without an `id` it gets a fresh one.
    pub fn into_draft(self) -> Result<Draft, Invalid> {
        self.draft(Data::from_raw_json)
    }

    /// As [`Message::into_draft`] of a message that was read from `whole`: see [`Data::part_of_json`].
    pub fn into_draft_in(self, whole: &Bytes) -> Result<Draft, Invalid> {
        self.draft(|raw| Data::part_of_json(whole, raw))
    }

    fn draft(self, json: impl FnOnce(&RawValue) -> Result<Data, Invalid>) -> Result<Draft, Invalid> {
        let data = self.data.ok_or_else(|| Invalid::new("message", "has no `data`"))?;
        let data = match self.encoding {
            None => json(data)?,
            Some(Encoding::Text) => Data::text(string(data, "text")?),
            Some(Encoding::Base64) => {
                let bytes = STANDARD.decode(string(data, "base64")?).map_err(|_| {
                    Invalid::new("data", "is not base64 (standard alphabet, padded) although `encoding` is \"base64\"")
                })?;
                Data::binary(bytes)
            }
        };
        Ok(Draft {
            id: self.id.map_or_else(|| Ok(EventId::generate()), EventId::new)?,
            name: self.name.map(EventName::from_publisher).transpose()?,
            data,
            occurred_at: self.occurred_at.map(Timestamp::from_micros),
            user: None,
            source: self.source.map(Source::new).transpose()?,
            key: self.key.map(Key::new).transpose()?,
            headers: self.headers,
            schema: self.schema.map(Schema::new).transpose()?,
        })
    }
}

/// Reads a message object and makes a draft of it.
pub fn parse_message(json: &[u8]) -> Result<Draft, Invalid> {
    serde_json::from_slice::<Message<'_>>(json).map_err(|error| complaint("message", &error))?.into_draft()
}

/// What a JSON parser found wrong with a `what` from outside, fit to be shown to whoever sent it.
pub fn complaint(what: &'static str, error: &serde_json::Error) -> Invalid {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(COMPLAINT_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    let text = text.replace(|c: char| c.is_control(), "\u{fffd}");
    Invalid::new(what, format_args!("is not as it should be: {text}"))
}

fn string(data: &RawValue, encoding: &str) -> Result<String, Invalid> {
    serde_json::from_str(data.get())
        .map_err(|_| Invalid::new("data", format_args!("is not a JSON string although `encoding` is \"{encoding}\"")))
}

/// For `deserialize_with`: a member that is there, `null` included, as JSON text.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// An object of strings; a name that comes twice is refused.
impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Headers;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if headers.get(&name).is_some() {
                        return Err(serde::de::Error::custom("headers have a name twice"));
                    }
                    headers.insert(&name, &value).map_err(serde::de::Error::custom)?;
                }
                Ok(headers)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, Tenant, Topic, TopicKey, UserId};
    use proptest::prelude::*;

    fn event(draft: Draft) -> Event {
        Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("chat:42").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 18,
            prev: 17,
            time: Timestamp::from_micros(1_763_719_200_123_456),
            draft,
        }
    }

    fn written(draft: Draft) -> String {
        let mut out = Vec::new();
        write_event(&event(draft), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn draft(id: &str, data: Data) -> Draft {
        Draft { id: EventId::new(id).unwrap(), ..Draft::new(data) }
    }

    #[test]
    fn a_bare_event() {
        let tag = crate::Tag::of(&EventId::new("e1").unwrap());
        let position = crate::Position { epoch: Epoch::from_u32(7).unwrap(), offset: 18, tag };
        assert_eq!(
            written(draft("e1", Data::json("{ \"a\":\r\n [1,\n2] }").unwrap())),
            format!(
                r#"{{"topic":"chat:42","position":"{position}","offset":18,"id":"e1","time":1763719200123456,"data":{{ "a": [1,2] }}}}"#
            )
        );
    }

    #[test]
    fn every_member_in_its_order() {
        let mut full = draft("e1", Data::text("say \"hi\"\n\u{2028}\u{85}\u{1}"));
        full.name = Some(EventName::new("message").unwrap());
        full.user = Some(UserId::new("bob").unwrap());
        full.source = Some(Source::new("ws").unwrap());
        full.key = Some(Key::new("k").unwrap());
        full.occurred_at = Some(Timestamp::from_micros(5));
        full.headers.insert("traceparent", "00-1").unwrap();
        full.headers.insert("a", "b").unwrap();
        full.schema = Some(Schema::new("s/1").unwrap());
        let text = written(full);
        let end = concat!(
            r#""name":"message","time":1763719200123456,"user":"bob","source":"ws","key":"k","occurred_at":5,"#,
            r#""headers":{"a":"b","traceparent":"00-1"},"schema":"s/1","encoding":"text","#,
            r#""data":"say \"hi\"\n\u2028\u0085\u0001"}"#
        );
        assert!(text.ends_with(end), "{text}");
    }

    proptest! {
        #[test]
        fn a_text_survives_and_stays_on_one_line(text: String) {
            let json = written(draft("e", Data::text(text.clone())));
            let ends_line = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
            prop_assert!(!json.contains(ends_line), "more than one line: {}", json);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["data"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let json = written(draft("e", Data::binary(bytes.clone())));
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["encoding"].as_str(), Some("base64"));
            prop_assert_eq!(STANDARD.decode(value["data"].as_str().unwrap()).unwrap(), bytes);
        }

        #[test]
        fn hostile_messages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_message(&bytes);
        }
    }

    #[test]
    fn messages_are_read() {
        let read = |json: &str| parse_message(json.as_bytes()).unwrap();
        assert_eq!(read(r#"{"data":null}"#).data, Data::json("null").unwrap());
        assert_eq!(read(r#"{"data":"x"}"#).data, Data::json("\"x\"").unwrap());
        assert_eq!(read(r#"{"data":"x\n","encoding":"text"}"#).data, Data::text("x\n"));
        assert_eq!(read(r#"{"data":"AAH/","encoding":"base64"}"#).data, Data::binary(vec![0, 1, 255]));
        let full = read(
            r#"{"id":"i","name":"n","data":1,"key":"k","occurred_at":9,"headers":{"a":"b"},"schema":"s","source":"o"}"#,
        );
        assert_eq!((full.id.as_str(), full.name.unwrap().as_str(), full.key.unwrap().as_str()), ("i", "n", "k"));
        assert_eq!((full.occurred_at, full.headers.get("a")), (Some(Timestamp::from_micros(9)), Some("b")));
        assert_eq!((full.schema.unwrap().as_str(), full.source.unwrap().as_str()), ("s", "o"));
    }

    #[test]
    fn large_data_stay_where_they_are() {
        for (length, more, stays) in [(20_000, 0, true), (20_000, 100_000, false), (100, 0, false)] {
            let data = format!(r#""{}""#, "x".repeat(length));
            let whole = Bytes::from(format!(r#"{{"data": {data}, "name": "n"}}{}"#, " ".repeat(more)));
            let message: Message<'_> = serde_json::from_slice(&whole).unwrap();
            let kept = message.into_draft_in(&whole).unwrap().data;
            assert_eq!(kept.bytes(), &data);
            assert_eq!(kept.bytes().as_ptr() == whole[9..].as_ptr(), stays, "{length} of {}", whole.len());
        }
    }

    #[test]
    fn refusals_name_the_member() {
        for (json, part) in [
            (r#"{"name":"x"}"#, "message has no `data`"),
            (r#"{"data":1,"usr":"x"}"#, "unknown field `usr`"),
            (r#"{"data":1,"data":2}"#, "duplicate field `data`"),
            (r#"{"data":1,"encoding":"text"}"#, "data is not a JSON string"),
            (r#"{"data":"?","encoding":"base64"}"#, "data is not base64"),
            (r#"{"data":1,"encoding":"hex"}"#, "`hex`"),
            (r#"{"data":1,"name":"fanfare.x"}"#, "event name begins with"),
            (r#"{"data":1,"id":""}"#, "event id is empty"),
            (r#"{"data":1,"key":"a\nb"}"#, "key has the character U+000A"),
            (r#"{"data":1,"headers":{"A":"b"}}"#, "header name"),
            (r#"{"data":1,"headers":{"a":"b","a":"c"}}"#, "twice"),
            (r#"{"data":1,"occurred_at":"now"}"#, "invalid type"),
            (r#"{"data":}"#, "message is not as it should be"),
            ("[1]", "message"),
        ] {
            let error = parse_message(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(10_000));
        assert!(parse_message(long.as_bytes()).unwrap_err().to_string().len() < 300);
    }
}
