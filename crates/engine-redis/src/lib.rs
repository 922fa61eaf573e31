//! Everything that is known of Redis and Valkey.
//!
//! [`Engine`] is connected servers, and makes of them what it can: a broker whose publish is one script, or a log alone.
//! Layout, scripts and what is lost when are told in `docs/engines/redis.md`.
//!
//! Reading order: `keys.rs`, `servers/`, `scripts/publish.lua`, `store/`, `ears/`.

mod answers;
mod broker;
mod cursors;
mod durability;
mod ears;
mod engine;
mod error;
mod fanout;
mod keys;
mod leases;
mod options;
mod presence;
mod scripts;
mod servers;
mod store;

pub mod metrics;

pub use broker::RedisLog;
pub use engine::Engine;
pub use error::Error;
pub use options::{Interest, Mode, Options};
