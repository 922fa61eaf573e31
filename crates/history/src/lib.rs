//! The log of each topic: where offsets are assigned, and nowhere else.
//!
//! [`Log`] is the seam: every engine that keeps history implements it, and [`contract`] runs one suite of
//! cases on each. Two implementations live here: [`memory`], which forgets everything when the process
//! ends, and [`embedded`], which keeps it in a directory with group commit.
//!
//! What this crate is not: it does not deliver to readers (that is `bus`) and checks no permissions.

mod capabilities;
mod error;
mod log;
mod policy;
mod restore;

pub mod contract;
pub mod embedded;
pub mod memory;
pub mod metrics;
pub mod record;

pub use capabilities::{Capabilities, Failover, Retention, TimeOf, Window};
pub use error::Error;
pub use log::{
    Admin, Announce, Append, Appended, Direction, Head, Log, Page, Read, ReadFrom, Reset, TopicPage, TopicsQuery,
};
pub use policy::{Durability, Keep};
pub use restore::{Restore, Stretch};
