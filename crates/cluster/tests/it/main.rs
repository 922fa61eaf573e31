//! The nodes of a cluster, several of them in one process.

mod asking;
mod leases;
mod owning;
mod support;
