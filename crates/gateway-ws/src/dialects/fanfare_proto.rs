//! `fanfare.v1.proto`: our own protocol as protobuf. A binary message is one `ClientFrame` or one `ServerFrame`:
//! WebSocket tells messages apart already. Specified in `docs/protocol/websocket.md` and `session.proto`.

use bytes::Bytes;
use fanfare_bus::{Entry, Form};
use fanfare_dialect_proto as dialect;
use fanfare_model::{Invalid, Topic};
use fanfare_proto::v1::ServerFrame;
use fanfare_session::client::{Dialect, Incoming, Payload, Push, Reply, RequestId, Unreadable};

use crate::frame::{HEADER_ROOM, Opcode, deflate, finish, payload};

/// Our own protocol as protobuf; what it writes are WebSocket frames.
#[derive(Debug, Default)]
pub(crate) struct FanfareProto {
    /// Messages of at least so many bytes are compressed, if that makes them smaller. `None`: none is.
    pub(crate) deflate_bytes_min: Option<usize>,
}

impl FanfareProto {
    fn compresses(&self, frame: &Bytes) -> bool {
        self.deflate_bytes_min.is_some_and(|least| payload(frame).len() >= least)
    }

    /// A frame for one client.
    fn packed(&self, frame: &ServerFrame) -> Bytes {
        let frame = framed(frame);
        let deflated = if self.compresses(&frame) { deflate(&frame) } else { None };
        deflated.unwrap_or(frame)
    }

    /// A frame for every client, made once.
    fn shared(&self, entry: &Entry, encode: impl FnOnce() -> Option<ServerFrame>) -> Bytes {
        let plain = entry.form(Form::WebSocketProto, |_| encode().map_or_else(Bytes::new, |frame| framed(&frame)));
        if plain.is_empty() || !self.compresses(plain) {
            return plain.clone();
        }
        entry.form(Form::WebSocketProtoDeflate, |_| deflate(plain).unwrap_or_else(|| plain.clone())).clone()
    }
}

fn framed(frame: &ServerFrame) -> Bytes {
    finish(Opcode::Binary, dialect::encode(frame, HEADER_ROOM))
}

impl Dialect for FanfareProto {
    fn name(&self) -> &'static str {
        "fanfare.v1.proto"
    }

    fn binary(&self) -> bool {
        true
    }

    fn read(&self, message: Payload<'_>, _: usize, out: &mut Vec<Incoming>) {
        out.push(match message {
            Payload::Binary(bytes) => dialect::read(bytes),
            Payload::Text(_) => {
                let error = Invalid::new("message", "is text, and protobuf is not");
                Incoming::Unreadable(Unreadable { id: None, error })
            }
        });
    }

    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes {
        self.packed(&dialect::reply(id, reply))
    }

    fn push(&self, push: &Push) -> Bytes {
        self.packed(&dialect::push(push))
    }

    fn event(&self, entry: &Entry) -> Bytes {
        self.shared(entry, || Some(dialect::event(&entry.event)))
    }

    fn signal(&self, topic: &Topic, entry: &Entry) -> Bytes {
        self.shared(entry, || dialect::signal(topic, &entry.event))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use fanfare_model::{Data, Draft, Epoch, Event, EventId, Tenant, Timestamp, TopicKey};
    use fanfare_proto::v1::{
        self, ClientFrame, client_frame::Command, from::Start, message, presence_command::Act, read_history::Anchor,
        server_frame::What,
    };
    use proptest::prelude::*;
    use prost::Message as _;
    use serde_json::{Map, Value, json};

    use super::super::FanfareJson;
    use super::*;

    fn entry(data: Data) -> Entry {
        Entry::new(Arc::new(Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("a").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 1,
            prev: 0,
            time: Timestamp::from_micros(5),
            draft: Draft { id: EventId::new("e").unwrap(), ..Draft::new(data) },
        }))
    }

    const PLAIN: FanfareProto = FanfareProto { deflate_bytes_min: None };
    const COMPRESSING: FanfareProto = FanfareProto { deflate_bytes_min: Some(1024) };

    #[test]
    fn an_event_is_one_binary_message_shared_by_all_readers() {
        let entry = entry(Data::json("{}").unwrap());
        let frames = [&PLAIN, &PLAIN, &COMPRESSING].map(|dialect| dialect.event(&entry));
        assert!(frames.iter().all(|frame| frame.as_ptr() == frames[0].as_ptr()));
        assert_eq!(frames[0][0], 0x82);
        match ServerFrame::decode(payload(&frames[0])).unwrap().what {
            Some(What::Event(event)) => assert_eq!(event, v1::Event::from(&*entry.event)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_large_one_is_one_more_for_those_with_compression() {
        let entry = entry(Data::text("tell me ".repeat(200)));
        let (plain, first, second) = (PLAIN.event(&entry), COMPRESSING.event(&entry), COMPRESSING.event(&entry));
        assert_eq!((plain[0], first[0]), (0x82, 0xc2));
        assert!(first.len() < plain.len() / 5);
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    fn one(dialect: &dyn Dialect, message: Payload<'_>) -> Incoming {
        let mut read = Vec::new();
        dialect.read(message, 1, &mut read);
        assert_eq!(read.len(), 1);
        read.remove(0)
    }

    /// The JSON of a request, as `docs/protocol/websocket.md` has it.
    fn in_json(frame: &ClientFrame) -> Value {
        let (name, body) = match frame.command.as_ref().unwrap() {
            Command::Connect(c) => (
                "connect",
                without_nulls(json!({
                    "token": some(&c.token), "resume": some(&c.resume), "cursor": some(&c.cursor),
                    "name": some(&c.name), "version": some(&c.version),
                })),
            ),
            Command::Subscribe(s) => {
                let on_slow = [None, Some("replay"), Some("disconnect"), Some("skip"), Some("conflate")];
                let on_slow = on_slow[usize::try_from(s.on_slow).unwrap()];
                let presence = s.presence.then_some(true);
                let body = json!({"topic": s.topic, "from": from(s), "on_slow": on_slow, "presence": presence});
                ("subscribe", without_nulls(body))
            }
            Command::Unsubscribe(u) => ("unsubscribe", json!({"topic": u.topic})),
            Command::Publish(p) => ("publish", publish(p)),
            Command::History(h) => ("history", history(h)),
            Command::Presence(p) => ("presence", presence(p)),
            Command::Refresh(r) => ("refresh", json!({"token": r.token})),
            Command::Ping(_) => ("ping", json!({})),
        };
        let mut members = Map::new();
        if frame.id != 0 {
            members.insert("id".to_owned(), frame.id.into());
        }
        members.insert(name.to_owned(), body);
        Value::Object(members)
    }

    fn some(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }

    fn without_nulls(mut value: Value) -> Value {
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        value
    }

    fn from(subscribe: &v1::Subscribe) -> Value {
        match subscribe.from.as_ref().and_then(|from| from.start.as_ref()) {
            None => Value::Null,
            Some(Start::Text(text)) => json!(text),
            Some(Start::Last(count)) => json!({"last": count}),
            Some(Start::Since(micros)) => json!({"since": micros / 1000}),
        }
    }

    fn publish(publish: &v1::Publish) -> Value {
        let message = publish.message.as_ref().unwrap();
        let (data, encoding) = match message.data.as_ref().unwrap() {
            message::Data::Json(json) => (serde_json::from_slice(json).unwrap(), None),
            message::Data::Text(text) => (json!(text), Some("text")),
            message::Data::Binary(bytes) => (json!(STANDARD.encode(bytes)), Some("base64")),
        };
        let headers = (!message.headers.is_empty()).then_some(&message.headers);
        let mut body = without_nulls(json!({
            "topic": publish.topic, "name": some(&message.name), "encoding": encoding, "event_id": message.event_id,
            "key": some(&message.key), "occurred_at": message.occurred_at, "headers": headers,
            "schema": some(&message.schema),
        }));
        // Null is a payload too.
        body["data"] = data;
        body
    }

    fn history(history: &v1::ReadHistory) -> Value {
        let direction = [None, Some("forward"), Some("backward")][usize::try_from(history.direction).unwrap()];
        let mut body = without_nulls(json!({
            "topic": history.topic,
            "direction": direction,
            "limit": (history.limit != 0).then_some(history.limit),
        }));
        let (name, value) = match history.anchor.as_ref() {
            None => return body,
            Some(Anchor::Before(offset)) => ("before", json!(offset)),
            Some(Anchor::After(offset)) => ("after", json!(offset)),
            Some(Anchor::BeforePosition(position)) => ("before", json!(position)),
            Some(Anchor::AfterPosition(position)) => ("after", json!(position)),
            Some(Anchor::Since(micros)) => ("since", json!(micros / 1000)),
            Some(Anchor::Last(count)) => ("last", json!(count)),
        };
        body[name] = value;
        body
    }

    fn presence(presence: &v1::PresenceCommand) -> Value {
        let (name, act) = match presence.act.as_ref().unwrap() {
            Act::Enter(enter) if enter.data.is_empty() => ("enter", json!({})),
            Act::Enter(enter) => ("enter", serde_json::from_slice(&enter.data).unwrap()),
            Act::Update(update) => ("update", serde_json::from_slice(&update.patch).unwrap()),
            Act::Leave(_) => ("leave", json!({})),
            Act::Read(read) => (
                "read",
                without_nulls(json!({"after": some(&read.after), "limit": (read.limit != 0).then_some(read.limit)})),
            ),
        };
        json!({"topic": presence.topic, name: act})
    }

    /// Right and wrong ones.
    fn topic() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[a-z]{1,5}(:[a-z0-9:]{1,5})?", 1 => "[ a-z:\\n]{0,4}"]
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-zA-Z0-9é_-]{1,12}"]
    }

    fn payload_json() -> impl Strategy<Value = Bytes> {
        prop_oneof![Just("null"), Just("{\"a\":[1,\"x\"]}"), Just("17"), Just("\"text\"")].prop_map(Bytes::from)
    }

    fn object() -> impl Strategy<Value = Bytes> {
        prop_oneof![Just("{}"), Just("{\"status\":\"typing\"}"), Just("{\"a\":null}")].prop_map(Bytes::from)
    }

    fn start() -> impl Strategy<Value = Option<v1::From>> {
        let place = prop_oneof![Just("now"), Just("start"), Just("last:7"), Just("k3J9.17.0x7"), Just("later")];
        let start = prop_oneof![
            place.prop_map(|text| Start::Text(text.to_owned())),
            any::<u32>().prop_map(Start::Last),
            // JSON counts milliseconds here.
            (0..4_000_000_000_000_i64).prop_map(|millis| Start::Since(millis * 1000)),
        ];
        proptest::option::of(start.prop_map(|start| v1::From { start: Some(start) }))
    }

    fn message() -> impl Strategy<Value = v1::Message> {
        let data = prop_oneof![
            payload_json().prop_map(message::Data::Json),
            ".{0,8}".prop_map(message::Data::Text),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| message::Data::Binary(bytes.into())),
        ];
        let headers = prop::collection::hash_map("[a-z]{1,4}", "[a-z ]{0,4}", 0..3);
        let occurred_at = proptest::option::of(any::<i64>());
        (word(), data, "[a-z0-9]{1,8}", word(), occurred_at, headers, word()).prop_map(
            |(name, data, event_id, key, occurred_at, headers, schema)| v1::Message {
                name,
                data: Some(data),
                event_id,
                key,
                occurred_at,
                headers,
                schema,
                source: String::new(),
            },
        )
    }

    fn command() -> impl Strategy<Value = Command> {
        let anchor = prop_oneof![
            any::<u64>().prop_map(Anchor::Before),
            any::<u64>().prop_map(Anchor::After),
            Just(Anchor::BeforePosition("k3J9.17.0x7".to_owned())),
            Just(Anchor::AfterPosition("k3J9.17".to_owned())),
            (0..4_000_000_000_000_i64).prop_map(|millis| Anchor::Since(millis * 1000)),
            (0..9_u32).prop_map(Anchor::Last),
        ];
        let act = prop_oneof![
            object().prop_map(|data| Act::Enter(v1::PresenceEnter { data })),
            object().prop_map(|patch| Act::Update(v1::PresenceUpdate { patch })),
            Just(Act::Leave(v1::PresenceLeave {})),
            (word(), 0..9_u32).prop_map(|(after, limit)| Act::Read(v1::PresenceRead { after, limit })),
        ];
        let cursor = prop_oneof![Just(""), Just("{\"chat:42\":\"k3J9.17.0x7\"}"), Just("k3J9.17.0x7")];
        prop_oneof![
            (word(), word(), cursor, word(), word()).prop_map(|(token, resume, cursor, name, version)| {
                Command::Connect(v1::Connect { token, resume, cursor: cursor.to_owned(), name, version })
            }),
            (topic(), start(), 0..5_i32, any::<bool>()).prop_map(|(topic, from, on_slow, presence)| {
                Command::Subscribe(v1::Subscribe { topic, from, on_slow, presence })
            }),
            topic().prop_map(|topic| Command::Unsubscribe(v1::Unsubscribe { topic })),
            (topic(), message())
                .prop_map(|(topic, message)| Command::Publish(v1::Publish { topic, message: Some(message) })),
            (topic(), proptest::option::of(anchor), 0..3_i32, 0..9_u32).prop_map(
                |(topic, anchor, direction, limit)| {
                    Command::History(v1::ReadHistory { topic, anchor, direction, limit })
                }
            ),
            (topic(), act).prop_map(|(topic, act)| Command::Presence(v1::PresenceCommand { topic, act: Some(act) })),
            "[a-z]{1,9}".prop_map(|token| Command::Refresh(v1::Refresh { token })),
            Just(Command::Ping(v1::Ping {})),
        ]
    }

    proptest! {
        #[test]
        fn both_encodings_say_the_same(id in 0..3_u64, command in command()) {
            let frame = ClientFrame { id, command: Some(command) };
            let text = in_json(&frame).to_string();
            let of_json = one(&FanfareJson::default(), Payload::Text(&text));
            let of_proto = one(&PLAIN, Payload::Binary(&frame.encode_to_vec().into()));
            match (of_json, of_proto) {
                (Incoming::Request(json), Incoming::Request(proto)) => prop_assert_eq!(json, proto),
                (Incoming::Unreadable(json), Incoming::Unreadable(proto)) => prop_assert_eq!(json.id, proto.id),
                (json, proto) => prop_assert!(false, "{text}: {json:?} but {proto:?}"),
            }
        }

        #[test]
        fn hostile_messages_are_one_answer_each(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            one(&PLAIN, Payload::Binary(&bytes.into()));
        }

        #[test]
        fn a_frame_that_is_cut_off_is_refused(end in 0_usize..24) {
            let subscribe = v1::Subscribe { topic: "chat:42".to_owned(), presence: true, ..v1::Subscribe::default() };
            let whole = ClientFrame { id: 2, command: Some(Command::Subscribe(subscribe)) }.encode_to_vec();
            let cut = whole[..end.min(whole.len() - 1)].to_vec();
            prop_assert!(matches!(one(&PLAIN, Payload::Binary(&cut.into())), Incoming::Unreadable(_)));
        }
    }
}
