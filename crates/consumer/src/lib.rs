//! Named durable consumers: workers that share the events of a topic, each event until it is acknowledged.
//!
//! **A consumer is a cursor that the server keeps.** Its callers [`Handle::pull`] a batch under a lease and
//! [`Handle::ack`] it; what is not acknowledged in time, or is given back, is given out again. So every event is
//! delivered at least once; several callers of one consumer get disjoint batches; and a consumer costs one small record
//! per topic, however many events are behind it, because the events stay in the log.
//!
//! What this crate is not: it knows no wire format and checks no permissions.
//!
//! Reading order: [`Progress`] (what is done, out, or to come again), [`Handle`], [`Cursors`] (where it is kept),
//! [`memory`](MemoryCursors) and [`embedded`](EmbeddedCursors) engines.

mod ack;
mod cursors;
mod embedded;
mod error;
mod groups;
mod handle;
mod json;
mod listing;
mod memory;
mod name;
mod options;
mod progress;
mod pull;

#[cfg(feature = "contract")]
pub mod contract;
pub mod metrics;

pub use ack::Ack;
pub use cursors::{Cursors, Key, ListPage, ListQuery, Swap, Swapped, Version};
pub use embedded::{EmbeddedCursors, OpenError};
pub use error::Error;
pub use handle::Handle;
pub use listing::{Cursor, CursorsQuery, Page};
pub use memory::MemoryCursors;
pub use name::Name;
pub use options::{Begin, Options};
pub use progress::{Act, Lease, LeaseId, Progress, Stretch, Waiting};
pub use pull::{Leased, Pull};
