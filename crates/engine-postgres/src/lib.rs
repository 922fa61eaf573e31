//! The engine `postgres`: logs, hints, presence, leases and consumers in a database that applications already trust.
//!
//! - **Publishing** locks the head of a topic, so that the order of commits is the order of offsets; writers send all that
//!   waits for them in one transaction. Applications publish in their own transactions with `fanfare.publish(…)`, which
//!   makes an outbox of any transaction.
//! - **Hearing**: each node reads the tail of all tables. A look asks for what was written by transactions that were open
//!   at the last one or began since, so that nothing is skipped, whatever the order of commits, and nobody waits for a
//!   long transaction. A bell after the commit says when to look.
//! - **Keeping**: the log is a table a day; what nobody keeps is dropped with its day.
//!
//! What this crate is not: it reads no other tables (that is change data capture).
//!
//! Reading order: `migrations/`, [`Engine`], `lane.rs`, `append.rs`, `snapshot.rs`, `tail.rs`, `store.rs`.

mod append;
mod bell;
mod broker;
mod columns;
mod cursors;
mod engine;
mod error;
mod lane;
mod lanes;
mod leases;
mod log;
mod options;
mod presence;
mod restore;
mod server;
mod snapshot;
mod store;
mod tail;
mod upkeep;

pub mod metrics;

pub use engine::Engine;
pub use error::Error;
pub use log::PgLog;
pub use options::Options;
