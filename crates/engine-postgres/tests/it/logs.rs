//! The contracts of logs and of brokers.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_bus::contract::{self as brokers, Carrier};
use fanfare_bus::{Broker, Composed, composed};
use fanfare_history::contract::{self as logs, Announced};
use fanfare_lifecycle::Lifecycle;
use parking_lot::Mutex;

use crate::support::{engine, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_logs() {
    let life = Lifecycle::new();
    let server = shared().await;
    logs::run(move |setting| {
        let life = life.clone();
        async move {
            let engine = engine(&server.url(), &format!("log_{}", setting.place), setting.clock, &life).await;
            engine.log(&brokers::policies(), setting.heard)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_over_the_logs_of_other_engines() {
    let life = Lifecycle::new();
    let server = shared().await;
    logs::restoring(move |setting| {
        let life = life.clone();
        async move {
            let engine = engine(&server.url(), &format!("restore_{}", setting.place), setting.clock, &life).await;
            engine.target(&brokers::policies(), setting.heard)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_brokers_with_another_carrier() {
    let life = Lifecycle::new();
    let server = shared().await;
    let carriers: Mutex<HashMap<usize, Arc<Carrier>>> = Mutex::default();
    let make = move |setting: brokers::Setting| {
        let life = life.clone();
        let mut carriers = carriers.lock();
        let clock = Arc::clone(&setting.clock) as _;
        let carrier = Arc::clone(carriers.entry(setting.place).or_insert_with(|| Carrier::lossy(clock, 7)));
        async move {
            let engine = engine(&server.url(), &format!("composed_{}", setting.place), setting.clock, &life).await;
            let fanout = carrier.join(setting.receive);
            let log = engine.log(&setting.policies, composed::announcer(&fanout));
            Arc::new(Composed::new(log, fanout, setting.policies)) as Arc<dyn Broker>
        }
    };
    // What a log does by itself has been tested; this is about several nodes and what a carrier loses.
    let wanted = |name: &str| !logs_alone(name);
    brokers::Suite::new(make).announced(Announced::Perhaps).only(wanted).run().await;
}

/// Cases that say nothing new of a composed broker, and take long.
fn logs_alone(name: &str) -> bool {
    ["offset", "time", "names", "topics", "by_", "limit", "largest", "truncating", "kill"]
        .iter()
        .any(|part| name.contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_brokers() {
    let life = Lifecycle::new();
    let server = shared().await;
    brokers::run(move |setting| {
        let life = life.clone();
        async move {
            let engine = engine(&server.url(), &format!("broker_{}", setting.place), setting.clock, &life).await;
            let broker = engine.broker(setting.policies, setting.receive);
            // Returns when it hears.
            broker
        }
    })
    .await;
}
