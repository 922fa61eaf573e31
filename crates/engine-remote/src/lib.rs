//! Hub mode: one node owns the log, many gateways use it over gRPC, and there is no outside system at all.
//!
//! [`hub`] is the side of the node that owns the log: it serves its broker, leases, cursors and presence on a listener,
//! and tells each gateway what is stored in the topics that it is interested in. [`Engine`] is the side of a gateway: the
//! same traits over a connection that is made again whenever it breaks. What is said between the two is
//! `proto/fanfare/engine/v1`.
//!
//! What this crate is not: it keeps nothing. If the hub is gone, nothing can be published or read until it is back;
//! sessions of gateways stay.
//!
//! Reading order: [`Options`], [`hub`], `client`, `wire`.

mod client;
mod error;
mod options;
mod wire;

pub mod hub;
pub mod metrics;

pub use client::Engine;
pub use error::Error;
pub use options::Options;
