//! Streams over HTTP: Server-Sent Events, lines of JSON, and long polls (`docs/protocol/sse.md`).
//!
//! One route for streams, `/v1/sse`, and two beside it. A request becomes a [`fanfare_session::Session`] and a [`fanfare_bus::Reader`] over its
//! topics; the stream takes from the reader as the socket takes from it, so a slow client holds a cursor and one batch
//! of bytes. Events are encoded once for each format and shared by every stream.
//!
//! A [`Door`] has two sides. [`Door::router`] is for a server that has understood a request of any kind and frames what
//! the body says. [`Door::serve`] is for a socket on which nothing was said yet but the head of a request that opens a
//! stream over HTTP/1: it is written to directly, from the worker's walk when the event is alone.
//!
//! What this crate is not: it accepts no connections, and a stream owns no timer. The registry of sessions reminds
//! streams of heartbeats and ends them; one task a door looks for clients that have stopped reading, and cuts them.
//!
//! Reading order: `request.rs`, `wanted.rs`, `resume.rs`, `open.rs`, `live.rs`, `encode.rs`, `body.rs`, `bare`,
//! `stall.rs`.

mod accept;
mod answer;
mod bare;
mod body;
mod caller;
mod chunk;
mod control;
mod cors;
mod credential;
mod encode;
mod form;
mod gateway;
mod live;
mod long_poll;
mod membership;
mod open;
mod opened;
mod options;
mod origin;
#[cfg(test)]
mod parser;
mod positions;
mod presence;
mod request;
mod resume;
mod route;
mod stall;
mod ticket;
mod wanted;
mod watch;

pub mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use fanfare_session::Node;
use http::request::Parts;
use tokio::net::TcpStream;

pub use options::Options;
pub use stall::ConnectionAbort;

/// Where the streams are.
pub const PATH: &str = "/v1/sse";
/// Where a client gets a ticket for one.
pub const TICKET_PATH: &str = "/v1/sse/ticket";
/// Where a client sees who is in a topic.
pub const PRESENCE_PATH: &str = "/v1/sse/presence";
/// These routes as a part of an `OpenAPI` document: its `tags`, `paths` and `components`. What it refers to and does not
/// hold (`Event`, `Presence`, `Problem`, `TicketBody`) is in the document of the HTTP API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What leads to the streams of one worker. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    gateway: Arc<gateway::Gateway>,
}

impl Door {
    /// The door on the worker that `node`'s bus belongs to. Call it on that worker's runtime.
    pub fn open(node: Node, options: Arc<Options>) -> Self {
        let gateway = gateway::Gateway::new(node, options);
        gateway.start();
        Self { gateway }
    }

    /// The routes, for a server on this worker. They read two extensions of a request:
    /// `axum::extract::ConnectInfo<SocketAddr>` for the client's address, and [`ConnectionAbort`].
    pub fn router(&self) -> Router {
        Router::new()
            .route(PATH, any(route::serve))
            .route(TICKET_PATH, any(route::ticket))
            .route(PRESENCE_PATH, any(route::presence))
            .with_state(Arc::clone(&self.gateway))
    }

    /// Whether [`Door::serve`] takes the request with this head. A head that it does not take is the server's.
    pub fn takes(&self, head: &Parts) -> bool {
        bare::takes(head)
    }

    /// Serves the request with this head on a socket from which nothing else was read that matters, until the stream has
    /// ended and the connection is closed; at the hard stop it ends at once. It reads two extensions of the head:
    /// `axum::extract::ConnectInfo<SocketAddr>`, and [`fanfare_session::Connection`], which it holds to the end. What the
    /// client sends after its head is thrown away.
    pub fn serve(&self, socket: TcpStream, head: Parts) -> impl Future<Output = ()> + Send + use<> {
        bare::serve(Arc::clone(&self.gateway), socket, head)
    }
}
