//! Redis and Valkey, as real servers.

mod access;
mod brokers;
mod coordination;
mod encrypted;
mod failover;
mod fitness;
mod memory;
mod moving;
mod reader;
mod support;
