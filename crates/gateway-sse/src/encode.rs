//! Events on the wire: encoded once for each format, shared by every stream.
//!
//! The shared bytes are one whole chunk of HTTP/1.1 (size, event, line end), and in it the event as a stream of its one
//! topic sends it, with the cursor in front: on the bare socket such a stream sends them as they are, without a copy. A
//! stream that is framed by somebody else, or together with other events, takes the event out of its chunk; one of
//! several topics puts its own cursor in place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_bus::{Entry, Form};
use fanfare_model::{Data, DataKind, Event, Topic, json};

use crate::accept::Shape;
use crate::chunk;
use crate::control::write_presence_change;

/// About what an event takes on the wire besides its data.
const FIELDS_BYTES: usize = 128;

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Server-Sent Events.
    Sse {
        /// Whether `data` is the whole event in JSON.
        envelope: bool,
        /// Whether heartbeats are events.
        heartbeat_event: bool,
    },
    /// Lines of JSON.
    Lines,
}

impl Wire {
    pub(crate) const fn shape(self) -> Shape {
        match self {
            Self::Sse { .. } => Shape::EventStream,
            Self::Lines => Shape::Lines,
        }
    }

    /// An event for a stream of its topic alone, as one chunk of HTTP/1.1.
    pub(crate) fn chunk(self, entry: &Entry) -> &Bytes {
        match self {
            Self::Sse { envelope: false, .. } => entry.form(Form::Sse, sse),
            Self::Sse { envelope: true, .. } => entry.form(Form::SseEnvelope, sse_envelope),
            Self::Lines => entry.form(Form::JsonLine, line),
        }
    }

    /// An event for a stream of its topic alone.
    pub(crate) fn event(self, entry: &Entry) -> Bytes {
        let whole = self.chunk(entry);
        let size_line = memchr::memchr(b'\n', whole).map_or(0, |end| end + 1);
        whole.slice(size_line..whole.len() - chunk::END.len())
    }

    /// What [`Wire::event`] gives, without the cursor in front.
    pub(crate) fn without_cursor(self, event: &Bytes) -> Bytes {
        let end = match self {
            Self::Sse { .. } => memchr::memchr(b'\n', event),
            Self::Lines => memchr::memchr(b',', event),
        };
        event.slice(end.map_or(0, |end| end + 1)..)
    }

    /// A change of who is in `topic`, from an event of its companion. A companion's events are written in no other way, so
    /// the forms of events hold them whole.
    pub(crate) fn presence(self, topic: &Topic, entry: &Entry) -> Bytes {
        let form = match self {
            Self::Sse { .. } => Form::Sse,
            Self::Lines => Form::JsonLine,
        };
        let encode = |event: &Event| {
            let mut out = Vec::with_capacity(FIELDS_BYTES + event.draft.data.bytes().len());
            write_presence_change(self, topic, event, &mut out);
            Bytes::from(out)
        };
        entry.form(form, encode).clone()
    }

    /// Writes a cursor as it stands in front of an event.
    pub(crate) fn write_cursor(self, cursor: &str, out: &mut Vec<u8>) {
        let (before, after) = match self {
            Self::Sse { .. } => ("id: ", "\n"),
            Self::Lines => (r#"{"cursor":""#, r#"","#),
        };
        for part in [before, cursor, after] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// A chunk of what `write` writes, about `room` bytes.
fn chunk(room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(room + 16);
    chunk::begin(&mut out);
    write(&mut out);
    let start = chunk::write_size(&mut out, 0);
    out.extend_from_slice(chunk::END);
    Bytes::from(out).slice(start..)
}

/// The JSON object of an event within what [`Wire::event`] gives for [`Wire::Lines`].
pub(crate) fn object_in_line(line: &Bytes) -> Bytes {
    let rest = Wire::Lines.without_cursor(line);
    rest.slice(r#""event":"#.len()..rest.len() - "}\n".len())
}

fn sse(event: &Event) -> Bytes {
    let data = &event.draft.data;
    chunk(FIELDS_BYTES + data.bytes().len(), |out| {
        write_fields(event, out);
        match data.kind() {
            DataKind::Json | DataKind::Text => write_data(data.bytes(), out),
            DataKind::Binary => write_data(base64(data).as_bytes(), out),
        }
        out.push(b'\n');
    })
}

fn sse_envelope(event: &Event) -> Bytes {
    chunk(FIELDS_BYTES, |out| {
        write_fields(event, out);
        out.extend_from_slice(b"data: ");
        json::write_event(event, out);
        out.extend_from_slice(b"\n\n");
    })
}

fn line(event: &Event) -> Bytes {
    chunk(FIELDS_BYTES, |out| {
        Wire::Lines.write_cursor(&event.position().to_string(), out);
        out.extend_from_slice(b"\"event\":");
        json::write_event(event, out);
        out.extend_from_slice(b"}\n");
    })
}

/// The fields before `data`. A name holds no line end, so it cannot begin a field of its own.
fn write_fields(event: &Event, out: &mut Vec<u8>) {
    Wire::Sse { envelope: false, heartbeat_event: false }.write_cursor(&event.position().to_string(), out);
    if let Some(name) = &event.draft.name {
        for part in ["event: ", name.as_str(), "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// One `data` field for each line: CRLF, LF and CR each end one, as they do for the reader, who gets LF for all.
fn write_data(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let end = memchr::memchr2(b'\r', b'\n', text);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&text[..end.unwrap_or(text.len())]);
        out.push(b'\n');
        let Some(end) = end else { return };
        let ends_in_two = text[end..].starts_with(b"\r\n");
        text = &text[end + 1 + usize::from(ends_in_two)..];
    }
}

fn base64(data: &Data) -> String {
    STANDARD.encode(data.bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use fanfare_model::{Draft, Epoch, EventId, EventName, Tenant, Timestamp, TopicKey};
    use proptest::prelude::*;

    use super::*;
    use crate::parser::{Parsed, parse};

    const RAW: Wire = Wire::Sse { envelope: false, heartbeat_event: false };
    const ENVELOPE: Wire = Wire::Sse { envelope: true, heartbeat_event: false };

    fn entry(name: Option<&str>, data: Data) -> Entry {
        let draft = Draft {
            id: EventId::new("e").unwrap(),
            name: name.map(|n| EventName::new(n).unwrap()),
            ..Draft::new(data)
        };
        Entry::new(Arc::new(Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("a").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 18,
            prev: 17,
            time: Timestamp::from_micros(1),
            draft,
        }))
    }

    /// An event of the topic `a` with this data.
    pub(crate) fn event(data: Data) -> Arc<Event> {
        entry(None, data).event
    }

    fn sse_of(name: Option<&str>, data: Data) -> (String, Parsed) {
        let entry = entry(name, data);
        let bytes = RAW.event(&entry);
        let mut parsed = parse(&bytes);
        assert_eq!(parsed.len(), 1, "{bytes:?}");
        let parsed = parsed.remove(0);
        assert_eq!(parsed.id, entry.event.position().to_string());
        let rest = RAW.without_cursor(&bytes);
        (String::from_utf8(rest.to_vec()).unwrap(), parsed)
    }

    // The numbers are those of the cases in reference/sse.md section 9.
    #[test]
    fn cases_1_to_5_lines_and_spaces() {
        let check = |data: &str, wire: &str, received: &str| {
            let (bytes, parsed) = sse_of(None, Data::text(data));
            assert_eq!(bytes, wire);
            assert_eq!((parsed.event.as_str(), parsed.data.as_str()), ("message", received));
        };
        check("a\r\nb\rc\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n", "a\nb\nc\nd");
        check("", "data: \n\n", "");
        check(" x", "data:  x\n\n", " x");
        check("x\revent: evil\rid: 9", "data: x\ndata: event: evil\ndata: id: 9\n\n", "x\nevent: evil\nid: 9");
        check("a\n\n", "data: a\ndata: \ndata: \n\n", "a\n\n");
    }

    #[test]
    fn case_6_names_cannot_break_out() {
        let (bytes, parsed) = sse_of(Some("tick: 1"), Data::json("{\n\"a\":1}").unwrap());
        assert_eq!(bytes, "event: tick: 1\ndata: {\ndata: \"a\":1}\n\n");
        assert_eq!(parsed.event, "tick: 1");
        for bad in ["a\nb", "a\rb", "a\0b", "a\u{202e}b", "fanfare.gap"] {
            assert!(EventName::from_publisher(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn case_7_line_separators_of_unicode() {
        let data = || Data::text("a\u{2028}b\u{85}c");
        assert_eq!(sse_of(None, data()).0, "data: a\u{2028}b\u{85}c\n\n");
        let entry = entry(None, data());
        let envelope = String::from_utf8(ENVELOPE.event(&entry).to_vec()).unwrap();
        assert!(envelope.contains(r#""data":"a\u2028b\u0085c""#), "{envelope}");
    }

    #[test]
    fn cases_8_and_9_large_data_and_a_byte_order_mark() {
        let large = "x".repeat((1 << 20) - 1);
        assert_eq!(sse_of(None, Data::text(large.clone())).1.data, large);
        assert_eq!(sse_of(None, Data::text("\u{feff}a")).1.data, "\u{feff}a");
    }

    #[test]
    fn case_10_one_encoding_for_all_readers() {
        let entry = entry(None, Data::text("a"));
        let first = RAW.event(&entry).as_ptr();
        assert!((0..100).all(|_| RAW.event(&entry).as_ptr() == first));
    }

    #[test]
    fn a_chunk_is_the_event_with_its_size_in_front() {
        let entry = entry(None, Data::text("hello"));
        for wire in [RAW, ENVELOPE, Wire::Lines] {
            let (chunk, event) = (wire.chunk(&entry), wire.event(&entry));
            let expected = [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();
            assert_eq!(chunk, &expected);
            assert!(chunk.as_ptr_range().contains(&event.as_ptr()), "copied");
        }
    }

    #[test]
    fn binary_is_base64() {
        assert_eq!(sse_of(None, Data::binary(vec![0, 1, 255])).0, "data: AAH/\n\n");
    }

    #[test]
    fn a_line_is_one_object() {
        let entry = entry(Some("n"), Data::json("{\"a\":\n1}").unwrap());
        let line = Wire::Lines.event(&entry);
        assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["cursor"], entry.event.position().to_string());
        assert_eq!(value["event"]["data"]["a"], 1);
        let object: serde_json::Value = serde_json::from_slice(&object_in_line(&line)).unwrap();
        assert_eq!(object, value["event"]);

        let mut own = Vec::new();
        Wire::Lines.write_cursor("~AQ", &mut own);
        own.extend_from_slice(&Wire::Lines.without_cursor(&line));
        let own: serde_json::Value = serde_json::from_slice(&own).unwrap();
        assert_eq!((&own["cursor"], &own["event"]), (&"~AQ".into(), &value["event"]));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "[ :a\r\n\u{0}\u{feff}\u{2028}é]{0,60}|\\PC{0,40}") {
            let (_, parsed) = sse_of(Some("n"), Data::text(text.clone()));
            prop_assert_eq!(parsed.data, text.replace("\r\n", "\n").replace('\r', "\n"));
            prop_assert_eq!(parsed.event, "n");
        }

        #[test]
        fn an_envelope_survives(text: String) {
            let entry = entry(Some("n"), Data::text(text.clone()));
            let mut parsed = parse(&ENVELOPE.event(&entry));
            prop_assert_eq!(parsed.len(), 1);
            let parsed = parsed.remove(0);
            let value: serde_json::Value = serde_json::from_str(&parsed.data).unwrap();
            prop_assert_eq!(value["data"].as_str(), Some(text.as_str()));
            prop_assert_eq!(parsed.event, "n");
        }
    }
}
