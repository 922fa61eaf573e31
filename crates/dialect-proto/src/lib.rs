//! Our own protocol as protobuf: what a session is asked and what it says, as `fanfare.v1.ClientFrame` and
//! `fanfare.v1.ServerFrame`.
//!
//! Two transports speak it, the gRPC stream `Session.Open` and the WebSocket subprotocol `fanfare.v1.proto`. Each puts
//! its own frame around what is here and keeps that form of an event in its [`Entry`](fanfare_bus::Entry).
//!
//! What this crate is not: it owns no stream and keeps no state.
//!
//! Reading order: `session.proto`, [`read`], [`reply`], [`push`], [`event`], [`signal`], [`encode`].

mod presence;
mod read;
mod write;

pub use presence::state;
pub use read::{from, history_query, on_slow, read};
pub use write::{encode, event, history, push, reply, signal};
