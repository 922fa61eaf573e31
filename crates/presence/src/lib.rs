//! Who is where: sessions and users enter topics, say something of themselves, and leave.
//!
//! A [`Handle`] is what the rest of Fanfare holds. Behind it an engine ([`Presence`]) knows the members; [`memory`] is
//! the engine of one node. What changes is gathered for a moment and announced as one [`Diff`] on the topic's companion
//! ([`fanfare_model::Topic::signals`]), so that who reads the members first and the differences after that never misses
//! anything and never has to ask twice. A session that breaks off stays for a grace time.
//!
//! What this crate is not: it checks no permissions, and knows no transport; [`json`] is the shape that all JSON
//! protocols share.
//!
//! Reading order: [`Handle`], [`Presence`], [`Diff`], `pending.rs`, `roster.rs`, `diary`.

mod diary;
mod diff;
mod engine;
mod error;
mod handle;
mod member;
mod options;
mod patch;
mod pending;
mod roster;
mod tend;

pub mod contract;
pub mod json;
pub mod memory;
pub mod metrics;

pub use diff::Diff;
pub use engine::{Change, Done, Edit, Enter, Hear, Holder, Limits, Presence, Telling, What};
pub use error::Error;
pub use handle::Handle;
pub use member::{Member, Members, Occupancy, Who};
pub use options::Options;
