//! The nodes of a cluster: who is there, who owns what, and what they ask each other.
//!
//! Nodes know of each other by [`Leases`] only, which an engine keeps; there is no leader and no gossip. A [`Handle`] holds
//! the lease that says that its node is alive. Work that one node is to do at a time is split into shards: rendezvous
//! hashing over the nodes that take part says who should own a shard, the lease on it says who does ([`Ownership`]), and
//! its [`Fence`] tells what a former owner does too late. What concerns all nodes is asked of all
//! ([`Handle::ask_others`]).
//!
//! What this crate is not: it moves no events and keeps no members; a single node is a cluster with [`MemoryLeases`].
//!
//! Reading order: [`Leases`], [`Handle`], [`Ownership`], `keeper.rs`, `rendezvous.rs`, `talk`.

#[cfg(feature = "contract")]
pub mod contract;
pub mod metrics;

mod error;
mod handle;
mod keeper;
mod lease;
mod memory;
mod node;
mod options;
mod ownership;
mod rendezvous;
mod talk;

pub use error::Error;
pub use handle::Handle;
pub use lease::{Fence, HOLDER_BYTES_MAX, Lease, Leases, NAME_BYTES_MAX, check_holder, check_name};
pub use memory::MemoryLeases;
pub use node::{NodeId, NodeInfo};
pub use options::Options;
pub use ownership::{Hold, Ownership};
pub use talk::Answers;
