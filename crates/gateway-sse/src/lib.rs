//! Streams over HTTP: Server-Sent Events, lines of JSON, and long polls (`docs/protocol/sse.md`).
//!
//! One route, `/v1/sse`. A request becomes a [`fanfare_session::Session`] and a [`fanfare_bus::Reader`] over its
//! topics; the body of the answer takes from the reader as the socket takes from it, so a slow client holds a
//! cursor and one batch of bytes. Events are encoded once for each format and shared by every stream.
//!
//! What this crate is not: it owns no socket, no timer for each stream, and no task for each stream. The registry
//! of sessions reminds streams of heartbeats and ends them; one task a router looks for clients that have stopped
//! reading, and cuts them through a [`ConnectionAbort`].
//!
//! Reading order: `request.rs`, `wanted.rs`, `resume.rs`, `stream.rs`, `encode.rs`, `stall.rs`.

mod accept;
mod answer;
mod control;
mod cors;
mod credential;
mod encode;
mod form;
mod gateway;
mod long_poll;
mod opened;
mod options;
#[cfg(test)]
mod parser;
mod positions;
mod request;
mod resume;
mod stall;
mod stream;
mod wanted;

pub mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use fanfare_session::Node;

pub use options::Options;
pub use stall::ConnectionAbort;

/// Where the streams are.
pub const PATH: &str = "/v1/sse";

/// The route of this gateway, for the worker that `node`'s bus belongs to. Call it on that worker's runtime.
///
/// It reads two extensions of a request: `axum::extract::ConnectInfo<SocketAddr>` for the client's address, and
/// [`ConnectionAbort`].
pub fn router(node: Node, options: Arc<Options>) -> Router {
    let gateway = gateway::Gateway::new(node, options);
    gateway.start();
    Router::new().route(PATH, any(request::serve)).with_state(gateway)
}
