//! Redis and Valkey, as real servers.

mod brokers;
mod coordination;
mod failover;
mod fitness;
mod reader;
mod support;
