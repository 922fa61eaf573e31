//! gRPC: the services of `fanfare.v1`, health, reflection, and gRPC-Web for browsers (`docs/protocol/grpc.md`).
//!
//! [`router`] makes the routes for a server that speaks HTTP/2 (and, for browsers, HTTP/1.1), in the clear or behind
//! TLS. Unary calls go through `call.rs`: who calls, how long it may take, what is answered when it fails. The two
//! streams of frames, `Events.Subscribe` and `Session.Open`, are bodies of their own (`stream`), so that an event is
//! encoded once on a node and its bytes are shared by all streams.
//!
//! What this crate is not: it accepts no connections, and knows no log, grant or member but through the handles of its
//! [`Node`](fanfare_session::Node).
//!
//! Reading order: `routes.rs`, `call.rs`, `fault.rs`, `stream`, `subscribe.rs`, `session.rs`, `publish.rs`, `pull.rs`.

mod call;
mod caller;
mod codec;
mod consumers;
mod deadline;
mod fault;
mod gateway;
mod health;
mod options;
mod paging;
mod presence;
mod publish;
mod publish_stream;
mod pull;
mod reflection;
mod routes;
mod session;
mod sessions;
mod stream;
mod subscribe;
mod tokens;
mod topics;
mod wanted;
mod web;

pub mod metrics;

pub use options::Options;
pub use routes::{Doors, router};
