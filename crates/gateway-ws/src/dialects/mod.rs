//! The client protocols spoken over WebSocket, one file each.

mod fanfare_json;

use fanfare_session::client::Dialect;

pub(crate) use fanfare_json::FanfareJson;

/// Every dialect, by its subprotocol. The first is spoken when a client names none.
pub(crate) const ALL: [&dyn Dialect; 1] = [&FanfareJson];
