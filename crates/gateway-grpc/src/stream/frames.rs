//! Frames of a stream: `ServerFrame`s, each with the prefix that gRPC puts before a message.

use bytes::Bytes;
use fanfare_bus::{Entry, Form};
use fanfare_dialect_proto as dialect;
use fanfare_model::Topic;
use fanfare_proto::v1;
use fanfare_session::client::{Dialect, Incoming, Payload, Push, Reply, RequestId, Unreadable};

/// What precedes a message: whether it is compressed, and its length (32 bits, big-endian).
pub(crate) const PREFIX_BYTES: usize = 5;

/// A stream that carries frames both ways.
#[derive(Debug)]
pub(crate) struct Frames;

impl Dialect for Frames {
    fn name(&self) -> &'static str {
        "fanfare.v1"
    }

    fn binary(&self) -> bool {
        true
    }

    fn read(&self, message: Payload<'_>, _: usize, out: &mut Vec<Incoming>) {
        out.push(match message {
            Payload::Binary(bytes) => dialect::read(bytes),
            Payload::Text(_) => {
                let error = fanfare_model::Invalid::new("message", "is text, and protobuf is not");
                Incoming::Unreadable(Unreadable { id: None, error })
            }
        });
    }

    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes {
        framed(&dialect::reply(id, reply))
    }

    fn push(&self, push: &Push) -> Bytes {
        framed(&dialect::push(push))
    }

    fn event(&self, entry: &Entry) -> Bytes {
        entry.form(Form::GrpcFrame, |event| framed(&dialect::event(event))).clone()
    }

    fn signal(&self, topic: &Topic, entry: &Entry) -> Bytes {
        let framed = |event: &_| dialect::signal(topic, event).map_or_else(Bytes::new, |frame| framed(&frame));
        entry.form(Form::GrpcFrame, framed).clone()
    }
}

/// A frame with its prefix.
pub(crate) fn framed(frame: &v1::ServerFrame) -> Bytes {
    finish(dialect::encode(frame, PREFIX_BYTES))
}

/// Fills in the prefix, for which there is room in front.
pub(crate) fn finish(mut message: Vec<u8>) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX_BYTES).expect("a frame has less than 4 GiB");
    message[0] = 0;
    message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Bytes::from(message)
}
