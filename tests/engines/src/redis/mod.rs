//! Redis and Valkey: one server, one that Sentinel watches over, a cluster.

mod cluster;
mod sentinel;
mod server;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;
pub use server::{Redis, RedisKind};
