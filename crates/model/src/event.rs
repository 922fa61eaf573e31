//! Events, and drafts of events.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::names::{EventId, EventName, Key, Schema, Source, UserId};
use crate::position::{Epoch, Position, Tag};
use crate::text::{Invalid, check_characters, check_name};
use crate::time::Timestamp;
use crate::topic::TopicKey;

/// The most headers an event may carry: room for tracing and a few of the publisher's own.
pub const HEADERS_COUNT_MAX: usize = 16;
/// The most bytes all header names and values of an event may have together.
pub const HEADERS_BYTES_MAX: usize = 4096;

/// The deepest nesting of JSON data. Common parsers stop at 128 levels (`serde_json` is one); less a few for what our
/// protocols put around it, or one event could spoil a page of history for whoever reads it.
pub const JSON_DEPTH_MAX: usize = 100;

/// How `data` is to be shown on a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Valid JSON text: embedded as it is in JSON protocols.
    Json,
    /// UTF-8 text.
    Text,
    /// Anything else; base64 where a protocol carries only text.
    Binary,
}

/// The payload: opaque bytes and how to show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    kind: DataKind,
    bytes: Bytes,
}

impl Data {
    /// JSON text, checked to be JSON.
    pub fn json(bytes: impl Into<Bytes>) -> Result<Self, Invalid> {
        let bytes = bytes.into();
        serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).map_err(|error| {
            Invalid::new("data", format_args!("is not valid JSON (line {}, column {})", error.line(), error.column()))
        })?;
        check_depth(&bytes)?;
        Ok(Self { kind: DataKind::Json, bytes })
    }

    /// JSON text that a JSON parser has just read.
    pub fn from_raw_json(raw: &serde_json::value::RawValue) -> Result<Self, Invalid> {
        check_depth(raw.get().as_bytes())?;
        Ok(Self { kind: DataKind::Json, bytes: Bytes::copy_from_slice(raw.get().as_bytes()) })
    }

    /// JSON text that a JSON parser has just read from `whole`. A large part of it stays where it is, and `whole` in
    /// memory as long as the data do; a small one is copied, or one event that is kept would keep all that came with it.
    pub fn part_of_json(whole: &Bytes, raw: &serde_json::value::RawValue) -> Result<Self, Invalid> {
        let bytes = raw.get().as_bytes();
        if bytes.len() < SHARED_BYTES_MIN || bytes.len() < whole.len() / 4 {
            return Self::from_raw_json(raw);
        }
        check_depth(bytes)?;
        Ok(Self { kind: DataKind::Json, bytes: whole.slice_ref(bytes) })
    }

    /// UTF-8 text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: DataKind::Text, bytes: Bytes::from(text.into()) }
    }

    /// Bytes that are claimed to be text; refused if they are not UTF-8.
    pub fn text_from(bytes: impl Into<Bytes>) -> Result<Self, Invalid> {
        let bytes = bytes.into();
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self { kind: DataKind::Text, bytes }),
            Err(error) => Err(Invalid::new("data", format_args!("is not valid UTF-8 at byte {}", error.valid_up_to()))),
        }
    }

    /// Any bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { kind: DataKind::Binary, bytes: bytes.into() }
    }

    /// What an engine reads back: `kind` was checked when it was first stored.
    pub fn from_stored(kind: DataKind, bytes: Bytes) -> Self {
        Self { kind, bytes }
    }

    /// How to show it.
    pub fn kind(&self) -> DataKind {
        self.kind
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The text, unless this is binary.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            DataKind::Binary => None,
            DataKind::Json | DataKind::Text => std::str::from_utf8(&self.bytes).ok(),
        }
    }
}

/// Data of fewer bytes are copied out of the message they came in. What a message comes in may be a buffer of its
/// connection, which is a few times as large.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// Refuses JSON (checked to be JSON) whose arrays and objects are nested deeper than [`JSON_DEPTH_MAX`].
fn check_depth(json: &[u8]) -> Result<(), Invalid> {
    // Every level has a bracket at each end.
    if json.len() <= 2 * JSON_DEPTH_MAX {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(Invalid::new("data", format_args!("is nested more than {JSON_DEPTH_MAX} levels deep")));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// A small map of strings that travels with an event, e.g. `traceparent`. Sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(SmallVec<[(Box<str>, Box<str>); 1]>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`, replacing an earlier one. Names are 1–64 of visible ASCII in lower case.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        check_name("header name", name, 64)?;
        if !name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()) {
            return Err(Invalid::new("header name", format_args!("{name:?} is not visible ASCII in lower case")));
        }
        check_characters("header value", value)?;
        match self.0.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) => self.0[at].1 = value.into(),
            Err(at) => self.0.insert(at, (name.into(), value.into())),
        }
        if self.0.len() > HEADERS_COUNT_MAX {
            return Err(Invalid::new("headers", format_args!("are more than {HEADERS_COUNT_MAX}")));
        }
        let bytes: usize = self.iter().map(|(n, v)| n.len() + v.len()).sum();
        if bytes > HEADERS_BYTES_MAX {
            return Err(Invalid::new(
                "headers",
                format_args!("have {bytes} bytes in all; at most {HEADERS_BYTES_MAX} are allowed"),
            ));
        }
        Ok(())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| &*self.0[at].1)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// What a publisher hands in: an event before the log has given it a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The publisher's own id, or a fresh one.
    pub id: EventId,
    /// What kind of thing it says.
    pub name: Option<EventName>,
    /// The payload.
    pub data: Data,
    /// When it happened, as the publisher says.
    pub occurred_at: Option<Timestamp>,
    /// The user who published it, if a user did.
    pub user: Option<UserId>,
    /// Where it came from.
    pub source: Option<Source>,
    /// What it is about.
    pub key: Option<Key>,
    /// Small string map; carries `traceparent`.
    pub headers: Headers,
    /// Name of the schema of the data.
    pub schema: Option<Schema>,
}

impl Draft {
    /// A draft of nothing but data, with a fresh id.
    pub fn new(data: Data) -> Self {
        Self {
            id: EventId::generate(),
            name: None,
            data,
            occurred_at: None,
            user: None,
            source: None,
            key: None,
            headers: Headers::new(),
            schema: None,
        }
    }

    /// How many bytes of memory and disk this counts for: everything the publisher chose.
    pub fn size(&self) -> usize {
        let text = |t: Option<&str>| t.map_or(0, str::len);
        self.data.bytes().len()
            + self.id.as_str().len()
            + text(self.name.as_ref().map(EventName::as_str))
            + text(self.user.as_ref().map(UserId::as_str))
            + text(self.source.as_ref().map(Source::as_str))
            + text(self.key.as_ref().map(Key::as_str))
            + text(self.schema.as_ref().map(Schema::as_str))
            + self.headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
    }
}

/// One message in its topic's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Tenant and topic.
    pub topic: TopicKey,
    /// Which life of the topic's log it is in.
    pub epoch: Epoch,
    /// Its place: strictly increasing per topic, from 1.
    pub offset: u64,
    /// The offset of the event before it: none of this topic lies between.
    pub prev: u64,
    /// When it was appended; never earlier than the event before it.
    pub time: Timestamp,
    /// All that the publisher said.
    pub draft: Draft,
}

impl Event {
    /// The position *at* this event: a reader that resumes from it gets the next one.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset, tag: Tag::of(&self.draft.id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_be_nested_so_deep() {
        let nested = |depth: usize| Data::json(format!("{}\"[\\\"[\"{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(nested(JSON_DEPTH_MAX).is_ok());
        let error = nested(JSON_DEPTH_MAX + 1).unwrap_err().to_string();
        assert_eq!(error, "data is nested more than 100 levels deep");
    }
}
