//! `fanfare.v1.json`: our own protocol as JSON. Specified in `docs/protocol/websocket.md`.

mod read;
mod write;

use bytes::Bytes;
use fanfare_bus::{Entry, Form};
use fanfare_model::json::write_event;
use fanfare_session::client::{Dialect, Incoming, Push, Reply, RequestId};

use crate::frame::{HEADER_ROOM, finish_text};

/// Our own protocol as JSON; what it writes are WebSocket frames.
pub(crate) struct FanfareJson;

impl Dialect for FanfareJson {
    fn name(&self) -> &'static str {
        "fanfare.v1.json"
    }

    fn read(&self, message: &str, requests_max: usize, out: &mut Vec<Incoming>) {
        read::requests(message, requests_max, out);
    }

    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes {
        write::reply(id, reply)
    }

    fn push(&self, push: &Push) -> Bytes {
        write::push(push)
    }

    fn event(&self, entry: &Entry) -> Bytes {
        let frame = entry.form(Form::WebSocketJson, |event| {
            let mut buffer = vec![0; HEADER_ROOM];
            buffer.extend_from_slice(b"{\"event\":");
            write_event(event, &mut buffer);
            buffer.push(b'}');
            finish_text(buffer)
        });
        frame.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfare_model::{Data, Draft, Epoch, Event, EventId, Tenant, Timestamp, Topic, TopicKey};

    use super::*;

    #[test]
    fn an_event_is_one_frame_shared_by_all_readers() {
        let event = Event {
            topic: TopicKey::new(Tenant::default(), Topic::new("a").unwrap()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 1,
            prev: 0,
            time: Timestamp::from_micros(5),
            draft: Draft { id: EventId::new("e").unwrap(), ..Draft::new(Data::json("{}").unwrap()) },
        };
        let position = event.position();
        let entry = Entry::new(Arc::new(event));
        let (first, second) = (FanfareJson.event(&entry), FanfareJson.event(&entry));
        assert_eq!(first.as_ptr(), second.as_ptr());
        let text =
            format!(r#"{{"event":{{"topic":"a","position":"{position}","offset":1,"id":"e","time":5,"data":{{}}}}}}"#);
        assert_eq!(first[..2], [0x81, u8::try_from(text.len()).unwrap()]);
        assert_eq!(&first[2..], text.as_bytes());
    }
}
