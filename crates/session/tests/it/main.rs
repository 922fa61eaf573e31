//! What sessions of several nodes share. All nodes are in this process, on one bus and one store of leases.

mod everywhere;
mod newcomers;
mod revocations;
mod support;
mod tickets;
