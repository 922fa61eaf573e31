//! An event with its encoded forms.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fanfare_model::Event;

use crate::metrics;

/// A wire format that events are encoded in. The gateway that owns the format is the only one to know what
/// the bytes mean; here it is only a place to keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SSE fields as a stream of this one topic sends them, in a chunk of HTTP/1.1; a stream of several topics puts its
    /// own `id:` in place, and one that is framed otherwise takes them out.
    Sse,
    /// The same with an envelope as data.
    SseEnvelope,
    /// One line of JSON, likewise with the position as its cursor.
    JsonLine,
    /// A whole WebSocket frame of `fanfare.v1.json`.
    WebSocketJson,
    /// The same compressed (RFC 7692).
    WebSocketJsonDeflate,
    /// A whole WebSocket frame of `fanfare.v1.proto`.
    WebSocketProto,
    /// The same compressed (RFC 7692).
    WebSocketProtoDeflate,
    /// A message of a gRPC stream with its prefix of five bytes.
    GrpcFrame,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Sse,
        Self::SseEnvelope,
        Self::JsonLine,
        Self::WebSocketJson,
        Self::WebSocketJsonDeflate,
        Self::WebSocketProto,
        Self::WebSocketProtoDeflate,
        Self::GrpcFrame,
    ];

    /// The form's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::SseEnvelope => "sse_envelope",
            Self::JsonLine => "json_line",
            Self::WebSocketJson => "websocket_json",
            Self::WebSocketJsonDeflate => "websocket_json_deflate",
            Self::WebSocketProto => "websocket_proto",
            Self::WebSocketProtoDeflate => "websocket_proto_deflate",
            Self::GrpcFrame => "grpc_frame",
        }
    }
}

/// An event as it stands in a tail: encoded at most once per form on this node, however many readers.
#[derive(Debug)]
pub struct Entry {
    /// The event.
    pub event: Arc<Event>,
    forms: [OnceLock<Bytes>; Form::ALL.len()],
}

impl Entry {
    /// An entry that has not been encoded yet.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, forms: Default::default() }
    }

    /// The bytes of this event in `form`; `encode` makes them the first time.
    pub fn form(&self, form: Form, encode: impl FnOnce(&Event) -> Bytes) -> &Bytes {
        self.forms[form as usize].get_or_init(|| {
            metrics::encoded(form);
            encode(&self.event)
        })
    }

    /// What it counts for in a ring: its draft, the structure around it and what is encoded so far, in bytes.
    pub(crate) fn weight(&self) -> usize {
        // Events and entries are allocated once each with their reference counts: about this much together.
        const STRUCTURE: usize = std::mem::size_of::<Event>() + std::mem::size_of::<Entry>() + 64;
        // A form is about the draft with a frame around it. Counted up front for one form, because the weight
        // must not change between entering and leaving the ring.
        STRUCTURE + 2 * self.event.draft.size()
    }
}
