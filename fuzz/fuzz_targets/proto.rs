//! A frame of `fanfare.v1` in protobuf: any bytes are a request or are refused with a sentence; an event made of what
//! was to be published is read back as it was.
#![no_main]

use bytes::Bytes;
use fanfare_dialect_proto as dialect;
use fanfare_model::{Draft, Epoch, Event, Tenant, Timestamp, TopicKey};
use fanfare_proto::v1::{Message, ServerFrame, event, message, server_frame::What};
use fanfare_session::client::{Command, Incoming, RequestId};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

/// Well above the longest refusal: a name that is quoted has 64 characters.
const SENTENCE_CHARS_MAX: usize = 1_000;

fuzz_target!(|bytes: &[u8]| match dialect::read(&Bytes::copy_from_slice(bytes)) {
    Incoming::Request(request) => {
        assert_ne!(request.id, Some(RequestId(0)), "0 asks for no reply");
        if let Command::Publish { topic, draft } = request.command {
            check_written(Event {
                topic: TopicKey::new(Tenant::default(), topic),
                epoch: Epoch::from_u32(1).expect("not zero"),
                offset: 1,
                prev: 0,
                time: Timestamp::from_micros(0),
                draft,
            });
        }
    }
    Incoming::Unreadable(unreadable) => {
        let sentence = unreadable.error.to_string();
        assert!(sentence.chars().count() <= SENTENCE_CHARS_MAX, "{} bytes of refusal", sentence.len());
        assert!(!sentence.contains(char::is_control), "a refusal is shown as it is: {sentence:?}");
    }
    Incoming::Chores => panic!("only a session makes its own chores"),
});

fn check_written(written: Event) {
    const ROOM: usize = 5;
    let encoded = dialect::encode(&dialect::event(&written), ROOM);
    assert_eq!(encoded[..ROOM], [0; ROOM], "room for a prefix");
    let frame = ServerFrame::decode(&encoded[ROOM..]).expect("what we write is protobuf");
    let Some(What::Event(read)) = frame.what else { panic!("an event") };
    assert_eq!((read.topic.as_str(), read.offset), (written.topic.topic.as_str(), 1));
    let again = Message {
        name: read.name,
        data: read.data.map(|data| match data {
            event::Data::Json(json) => message::Data::Json(json),
            event::Data::Text(text) => message::Data::Text(text),
            event::Data::Binary(bytes) => message::Data::Binary(bytes),
        }),
        event_id: read.id,
        key: read.key,
        occurred_at: read.occurred_at,
        headers: read.headers,
        schema: read.schema,
        source: read.source,
    };
    assert_eq!(Draft::try_from(again).expect("an event's fields are a message's"), written.draft);
}
