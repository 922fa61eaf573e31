//! Real servers for tests: each on its own ports, in its own directory, gone with its value.
//!
//! [`Redis`], [`Nats`] and [`Postgres`] are one server each; [`RedisSentinel`], [`RedisCluster`], [`NatsCluster`] and
//! [`Postgres::standby`] are what people run when one is not enough. Every one is ready when its `start` returns, can be killed
//! (`kill -9`), stopped (SIGTERM), paused (SIGSTOP) and started again on the same port with the same data.
//!
//! [`FaultProxy`] stands between a node and a server and breaks the network between them.
//!
//! The servers end with the test process, whatever becomes of it: the kernel kills them when their parent dies. So they
//! may also be kept in a `static`, which is never dropped.
//!
//! Programs come from Debian's packages and `PyPI`, installed by `dev/setup`. One that is not there fails the test and
//! says so: nothing is skipped.

mod nats;
mod patience;
mod ports;
mod postgres;
mod process;
mod program;
mod proxy;
mod redis;
mod scratch;

pub use nats::{Nats, NatsCluster};
pub use ports::Port;
pub use postgres::Postgres;
pub use proxy::{Cut, FaultProxy, Mistreatment, Protocol};
pub use redis::{Redis, RedisCluster, RedisKind, RedisSentinel};
