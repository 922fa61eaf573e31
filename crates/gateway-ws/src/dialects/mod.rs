//! The client protocols spoken over WebSocket, one file each.

mod fanfare_json;
mod fanfare_proto;

use std::sync::Arc;

use fanfare_session::client::Dialect;

pub(crate) use fanfare_json::FanfareJson;
pub(crate) use fanfare_proto::FanfareProto;

/// One of each.
pub(crate) type All = [Arc<dyn Dialect>; 2];

/// Every dialect, to be found by its subprotocol. The first is spoken when a client names none. With
/// `deflate_bytes_min` they compress messages of at least so many bytes.
pub(crate) fn all(deflate_bytes_min: Option<usize>) -> All {
    [Arc::new(FanfareJson { deflate_bytes_min }), Arc::new(FanfareProto { deflate_bytes_min })]
}
