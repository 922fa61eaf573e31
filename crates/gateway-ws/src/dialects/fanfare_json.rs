//! `fanfare.v1.json`: our own protocol as JSON. Specified in `docs/protocol/websocket.md`.

mod read;
mod write;

use bytes::Bytes;
use fanfare_bus::{Entry, Form};
use fanfare_model::json::write_event;
use fanfare_model::{Event, Topic};
use fanfare_session::client::{Dialect, Incoming, Payload, Push, Reply, RequestId};

use crate::frame::{HEADER_ROOM, Opcode, deflate, finish, payload};

/// Our own protocol as JSON; what it writes are WebSocket frames.
#[derive(Debug, Default)]
pub(crate) struct FanfareJson {
    /// Messages of at least so many bytes are compressed, if that makes them smaller. `None`: none is.
    pub(crate) deflate_bytes_min: Option<usize>,
}

impl FanfareJson {
    fn compresses(&self, frame: &Bytes) -> bool {
        self.deflate_bytes_min.is_some_and(|least| payload(frame).len() >= least)
    }

    /// A frame for one client.
    fn packed(&self, frame: Bytes) -> Bytes {
        let deflated = if self.compresses(&frame) { deflate(&frame) } else { None };
        deflated.unwrap_or(frame)
    }

    /// A frame for everyone, made by `write` once.
    fn shared(&self, entry: &Entry, write: impl FnOnce(&Event) -> Bytes) -> Bytes {
        let plain = entry.form(Form::WebSocketJson, write);
        if !self.compresses(plain) {
            return plain.clone();
        }
        entry.form(Form::WebSocketJsonDeflate, |_| deflate(plain).unwrap_or_else(|| plain.clone())).clone()
    }
}

impl Dialect for FanfareJson {
    fn name(&self) -> &'static str {
        "fanfare.v1.json"
    }

    fn read(&self, message: Payload<'_>, requests_max: usize, out: &mut Vec<Incoming>) {
        // It is not given bytes.
        let text = if let Payload::Text(text) = message { text } else { "" };
        read::requests(text, requests_max, out);
    }

    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes {
        self.packed(write::reply(id, reply))
    }

    fn push(&self, push: &Push) -> Bytes {
        self.packed(write::push(push))
    }

    fn event(&self, entry: &Entry) -> Bytes {
        self.shared(entry, |event| {
            let mut buffer = vec![0; HEADER_ROOM];
            buffer.extend_from_slice(b"{\"event\":");
            write_event(event, &mut buffer);
            buffer.push(b'}');
            finish(Opcode::Text, buffer)
        })
    }

    fn signal(&self, topic: &Topic, entry: &Entry) -> Bytes {
        self.shared(entry, |signal| write::signal(topic, signal))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfare_model::{Data, Draft, Epoch, EventId, Invalid, Tenant, Timestamp, TopicKey};

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

    const PLAIN: FanfareJson = FanfareJson { deflate_bytes_min: None };
    const COMPRESSING: FanfareJson = FanfareJson { deflate_bytes_min: Some(1024) };

    #[test]
    fn an_event_is_one_frame_shared_by_all_readers() {
        let entry = entry(Data::json("{}").unwrap());
        let position = entry.event.position();
        let frames = [&PLAIN, &PLAIN, &COMPRESSING].map(|dialect| dialect.event(&entry));
        assert!(frames.iter().all(|frame| frame.as_ptr() == frames[0].as_ptr()));
        let text =
            format!(r#"{{"event":{{"topic":"a","position":"{position}","offset":1,"id":"e","time":5,"data":{{}}}}}}"#);
        assert_eq!(frames[0][..2], [0x81, u8::try_from(text.len()).unwrap()]);
        assert_eq!(&frames[0][2..], text.as_bytes());
    }

    #[test]
    fn a_large_one_is_one_more_for_those_with_compression() {
        let entry = entry(Data::text("tell me ".repeat(200)));
        let (plain, first, second) = (PLAIN.event(&entry), COMPRESSING.event(&entry), COMPRESSING.event(&entry));
        assert_eq!((plain[0], first[0]), (0x81, 0xc1));
        assert!(first.len() < plain.len() / 10);
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn what_would_grow_stays_the_one_that_it_is() {
        // Every character once: nothing to be gained.
        let entry = entry(Data::text(('一'..).take(400).collect::<String>()));
        let (plain, compressing) = (PLAIN.event(&entry), COMPRESSING.event(&entry));
        assert!(payload(&plain).len() > 1024);
        let smaller = compressing.len() < plain.len();
        assert_eq!(compressing.as_ptr() == plain.as_ptr(), !smaller);
    }

    #[test]
    fn replies_are_compressed_from_the_same_size_on() {
        let error = |text: &str| Reply::Error(fanfare_session::client::Error::Invalid(Invalid::new("data", text)));
        assert_eq!(COMPRESSING.reply(None, &error("short"))[0], 0x81);
        assert_eq!(COMPRESSING.reply(None, &error(&"long ".repeat(300)))[0], 0xc1);
        assert_eq!(PLAIN.reply(None, &error(&"long ".repeat(300)))[0], 0x81);
    }
}
