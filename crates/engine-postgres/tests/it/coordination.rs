//! The contracts of leases and of consumers' progress.

use std::sync::Arc;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;

use crate::support::{engine, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_leases() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_cluster::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("leases_{}", setting.place);
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.leases()
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_consumers() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_consumer::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("consumers_{}", setting.place);
            let options = fanfare_consumer::Options {
                consumers_max: setting.consumers_max,
                ..fanfare_consumer::Options::default()
            };
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.cursors(&options)
        }
    })
    .await;
}
