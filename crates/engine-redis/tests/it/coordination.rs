//! The contracts of leases, cursors and presence, and of taking over the log of another engine.

use std::sync::Arc;

use fanfare_engine_redis::{Mode, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;
use fanfare_test_engines::{Redis, RedisCluster};

use crate::support::{at, engine};

#[tokio::test(flavor = "multi_thread")]
async fn leases_keep_the_contract() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    let (options, inner) = (at(server.url()), life.clone());
    fanfare_cluster::contract::run(move |setting| {
        let (options, life) = (options.clone(), inner.clone());
        async move { engine(&options, setting.place, Arc::new(SystemClock), &life).await.leases() }
    })
    .await;
    life.stop();
    life.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_keep_the_contract() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    let (options, inner) = (at(server.url()), life.clone());
    fanfare_consumer::contract::run(move |setting| {
        let (options, life) = (options.clone(), inner.clone());
        async move {
            let consumers = fanfare_consumer::Options { consumers_max: setting.consumers_max, ..Default::default() };
            engine(&options, setting.place, Arc::new(SystemClock), &life).await.cursors(&consumers)
        }
    })
    .await;
    life.stop();
    life.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_keeps_the_contract() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    presence_on(at(server.url()), &life).await;
    life.stop();
    life.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_in_a_cluster_keeps_the_contract() {
    let (servers, life) = (RedisCluster::start().await, Lifecycle::new());
    presence_on(Options { urls: servers.urls(), mode: Mode::Cluster, ..Options::default() }, &life).await;
    life.stop();
    life.ended().await;
}

async fn presence_on(options: Options, life: &Lifecycle) {
    fanfare_presence::contract::run(|setting| {
        let (options, life) = (options.clone(), life.clone());
        async move { engine(&options, setting.place, Arc::new(SystemClock), &life).await.presence() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_another_engine_is_taken_over() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    let (options, inner) = (at(server.url()), life.clone());
    fanfare_history::contract::restoring(move |setting| {
        let (options, life) = (options.clone(), inner.clone());
        async move {
            let engine = engine(&options, setting.place, setting.clock, &life).await;
            engine.target(fanfare_bus::contract::policies(), setting.heard)
        }
    })
    .await;
    life.stop();
    life.ended().await;
}
