//! What several nodes promise together, written once and run over everything that they can share.

mod authority;
mod balancer;
mod delivery;
mod presence;

/// A test for each engine, of one function that takes it.
macro_rules! over_every_engine {
    ($($behaviour:ident),+ $(,)?) => {
        mod remote { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::Remote).await; })+ }
        mod redis { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::Redis).await; })+ }
        mod nats { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::Nats).await; })+ }
        mod postgres { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::Postgres).await; })+ }
        mod postgres_redis { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::PostgresRedis).await; })+ }
        mod postgres_nats { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Shared::PostgresNats).await; })+ }
    };
}
use over_every_engine;
