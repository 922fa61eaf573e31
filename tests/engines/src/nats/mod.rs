//! NATS with `JetStream`: one server, a cluster.

mod cluster;
mod configured;
mod server;

pub use cluster::NatsCluster;
pub use server::Nats;
