//! A message to publish: any bytes are refused with a sentence, or become a draft; written out as an event, that is
//! one line of JSON which says the same.
#![no_main]

use fanfare_model::json::{Encoding, Message, parse_message, write_event};
use fanfare_model::{DataKind, Draft, Epoch, Event, Headers, Tenant, Timestamp, Topic, TopicKey};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Well above the longest refusal: a parser's complaint is cut to 200 characters, and a name that is quoted has 64.
const SENTENCE_CHARS_MAX: usize = 1_000;

/// An event as readers get it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    topic: String,
    #[serde(rename = "position")]
    _position: fanfare_model::Position,
    offset: u64,
    id: String,
    name: Option<String>,
    #[serde(rename = "time")]
    _time: i64,
    source: Option<String>,
    key: Option<String>,
    occurred_at: Option<i64>,
    #[serde(default)]
    headers: Headers,
    schema: Option<String>,
    encoding: Option<Encoding>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fuzz_target!(|bytes: &[u8]| match parse_message(bytes) {
    Ok(draft) => check_written(&draft),
    Err(refusal) => {
        let sentence = refusal.to_string();
        assert!(sentence.chars().count() <= SENTENCE_CHARS_MAX, "{} bytes of refusal", sentence.len());
        assert!(!sentence.contains(char::is_control), "a refusal is shown as it is: {sentence:?}");
    }
});

fn check_written(draft: &Draft) {
    let topic = TopicKey::new(Tenant::default(), Topic::new("fuzz").expect("a good topic"));
    let epoch = Epoch::from_u32(1).expect("not zero");
    let time = Timestamp::from_micros(0);
    let mut out = Vec::new();
    write_event(&Event { topic, epoch, offset: 1, prev: 0, time, draft: draft.clone() }, &mut out);

    let text = std::str::from_utf8(&out).expect("JSON is UTF-8");
    assert!(!text.contains(['\n', '\r']), "an event is one line");
    let written: Written<'_> = serde_json::from_str(text).expect("an event is JSON");
    assert_eq!((&*written.topic, written.offset), ("fuzz", 1));
    let again = Message {
        id: Some(written.id),
        name: written.name,
        data: Some(written.data),
        encoding: written.encoding,
        key: written.key,
        occurred_at: written.occurred_at,
        headers: written.headers,
        schema: written.schema,
        source: written.source,
    };
    let again = again.into_draft().expect("an event's members are a message's");
    assert_eq!(data(&again), data(draft));
    assert_eq!(Draft { data: draft.data.clone(), ..again }, *draft);
}

/// What must survive: all but the line breaks between the tokens of JSON.
fn data(draft: &Draft) -> (DataKind, Vec<u8>) {
    let (kind, bytes) = (draft.data.kind(), draft.data.bytes().iter().copied());
    match kind {
        DataKind::Json => (kind, bytes.filter(|byte| !matches!(byte, b'\n' | b'\r')).collect()),
        DataKind::Text | DataKind::Binary => (kind, bytes.collect()),
    }
}
