//! Who is where: sessions and users enter topics, say something of themselves, and leave.
//!
//! A [`Handle`] is what the rest of Fanfare holds. Behind it an engine ([`Presence`]) knows the members, for one node
//! ([`memory`]) or for all nodes of a cluster. What changes is in the feed of the topic's shard; the node that owns the shard
//! gathers it for a moment and announces it as one [`Diff`] on the topic's companion ([`fanfare_model::Topic::signals`]), so
//! that who reads the members first and the differences after that never misses anything and never has to ask twice. If
//! that node dies another goes on where it stopped. A session that breaks off stays for a grace time.
//!
//! What this crate is not: it checks no permissions, and knows no transport; [`json`] is the shape that all JSON
//! protocols share.
//!
//! Reading order: [`Handle`], [`Presence`], [`Change`], `feed.rs`, `pending.rs`, [`Diff`], `diary`, `roster.rs`, `alive.rs`.

mod alive;
mod announce;
mod change;
mod diary;
mod diff;
mod engine;
mod error;
mod feed;
mod handle;
mod member;
mod options;
mod patch;
mod pending;
mod progress;
mod roster;
mod tend;
mod turns;

pub mod contract;
pub mod json;
pub mod memory;
pub mod metrics;

pub use change::{Change, Telling, What};
pub use diff::Diff;
pub use engine::{Adopted, Done, Edit, Enter, Holder, Limits, Presence};
pub use error::Error;
pub use handle::Handle;
pub use member::{Member, Members, Occupancy, Who};
pub use options::Options;
