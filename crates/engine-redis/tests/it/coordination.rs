//! The contracts of leases, cursors and presence, and of taking over the log of another engine.

use std::sync::Arc;

use fanfare_engine_redis::Options;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;
use fanfare_test_engines::{Redis, RedisCluster};

use crate::support::{at, cluster, engine};

async fn leases_on(options: Options, life: &Lifecycle) {
    let life = life.clone();
    fanfare_cluster::contract::run(move |setting| {
        let (options, life) = (options.clone(), life.clone());
        async move { engine(&options, setting.place, Arc::new(SystemClock), &life).await.leases() }
    })
    .await;
}

async fn cursors_on(options: Options, life: &Lifecycle) {
    let life = life.clone();
    fanfare_consumer::contract::run(move |setting| {
        let (options, life) = (options.clone(), life.clone());
        async move {
            let consumers = fanfare_consumer::Options { consumers_max: setting.consumers_max, ..Default::default() };
            engine(&options, setting.place, Arc::new(SystemClock), &life).await.cursors(&consumers)
        }
    })
    .await;
}

async fn presence_on(options: Options, life: &Lifecycle) {
    fanfare_presence::contract::run(|setting| {
        let (options, life) = (options.clone(), life.clone());
        async move { engine(&options, setting.place, Arc::new(SystemClock), &life).await.presence() }
    })
    .await;
}

/// All of them, under names that nobody else has.
pub(crate) async fn all_on(options: &Options, life: &Lifecycle) {
    let named = |name: &str| Options { prefix: format!("{}-{name}", options.prefix), ..options.clone() };
    leases_on(named("leases"), life).await;
    cursors_on(named("cursors"), life).await;
    presence_on(named("presence"), life).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_keep_their_contracts() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    all_on(&at(server.url()), &life).await;
    life.stop();
    life.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_in_a_cluster_keeps_the_contract() {
    let (servers, life) = (RedisCluster::start().await, Lifecycle::new());
    presence_on(cluster(&servers), &life).await;
    life.stop();
    life.ended().await;
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
