//! Everything that is known of NATS: events in streams of `JetStream`, announced by it as it stores them.
//!
//! What this crate is not: it knows no other engine, and nothing of clients.
//!
//! Reading order: [`Engine`], `classes.rs` (which stream a topic is in), `append.rs`, `reading.rs`, `interest.rs` (live
//! events), `lives.rs` (purged topics); below them `life.rs` (what an answer may be
//! believed for), `link.rs`, `gets.rs` and `stream.rs` (the protocol).

mod append;
mod broker;
mod classes;
mod cursors;
mod engine;
mod error;
mod fanout;
mod gets;
mod hint;
mod interest;
mod leases;
mod life;
mod link;
mod listing;
mod lives;
mod options;
mod presence;
mod reading;
mod stream;
mod token;

pub mod metrics;

pub use engine::Engine;
pub use error::Error;
pub use options::Options;
