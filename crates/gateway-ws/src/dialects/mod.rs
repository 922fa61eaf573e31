//! The client protocols spoken over WebSocket, one file each.

mod fanfare_json;

use std::sync::Arc;

use fanfare_session::client::Dialect;

pub(crate) use fanfare_json::FanfareJson;

/// Every dialect, to be found by its subprotocol. The first is spoken when a client names none. With
/// `deflate_bytes_min` they compress messages of at least so many bytes.
pub(crate) fn all(deflate_bytes_min: Option<usize>) -> [Arc<dyn Dialect>; 1] {
    [Arc::new(FanfareJson { deflate_bytes_min })]
}
