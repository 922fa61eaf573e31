//! Our WebSocket transport: the handshake, RFC 6455 frames on the bare stream, and the dialects spoken over it.
//!
//! A connection is one small task. It owns no buffer, timer or queue while it is idle; what is delivered are frames
//! that were made once per event on this node. What a client may do is not decided here but in
//! [`fanfare_session::client`].
//!
//! What this crate is not: it knows no topic, grant or log, and binds no port.
//!
//! Reading order: [`Options`], [`router`], `handshake.rs`, `connection.rs`, `frame`, `dialects`.

mod bare;
mod connection;
mod deflate;
mod dialects;
mod frame;
mod gateway;
mod handshake;
mod options;
mod origin;

#[doc(hidden)]
pub mod echo;
#[doc(hidden)]
pub mod fuzzing;
pub mod metrics;

pub use gateway::router;
pub use options::Options;
