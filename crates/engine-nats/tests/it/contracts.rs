//! The suites that every engine passes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fanfare_bus::contract as bus;
use fanfare_bus::{Broker, Composed};
use fanfare_engine_nats::Options;
use fanfare_history::Log;
use fanfare_history::memory::{self, MemoryLog};
use fanfare_model::{ByteSize, Duration};
use fanfare_test_engines::Nats;
use parking_lot::Mutex;

use crate::support::{engine, options};

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_keeps_its_promises() {
    let server = Nats::start().await;
    let url = server.url();
    let only = std::env::var("CASE").unwrap_or_default();
    bus::Suite::new(move |setting: bus::Setting| {
        let place = options(vec![url.clone()], &format!("bus{}", setting.place));
        let options = Options { exact_times: true, ..place };
        async move {
            let engine = engine(options).await;
            engine.broker(setting.policies, setting.receive).await.expect("the broker opens")
        }
    })
    .only(move |name| name.contains(&only))
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_forgotten_in_time() {
    let server = Nats::start().await;
    let url = server.url();
    let suite = bus::Suite::new(move |setting: bus::Setting| {
        let place = options(vec![url.clone()], &format!("window{}", setting.place));
        let options = Options { idempotency_window: Duration::from_secs(1), ..place };
        async move {
            let engine = engine(options).await;
            engine.broker(setting.policies, setting.receive).await.expect("the broker opens")
        }
    });
    suite.only(|name| name.ends_with("the_window_of_the_engine")).run().await;
}

/// Nodes that share a log in this process, and are told of it over NATS.
#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_carried() {
    type Logs = Mutex<HashMap<usize, Weak<dyn Log>>>;
    let server = Nats::start().await;
    let url = server.url();
    let logs: Arc<Logs> = Arc::default();
    bus::Suite::new(move |setting: bus::Setting| {
        let options = options(vec![url.clone()], &format!("carried{}", setting.place));
        let logs = Arc::clone(&logs);
        async move {
            let engine = engine(options).await;
            let fanout =
                engine.fanout(Arc::clone(&setting.policies), setting.receive).await.expect("the carrier opens");
            let mut logs = logs.lock();
            // The node that made the log announces for all of them: that is the road on which it reaches the others.
            let log = logs.get(&setting.place).and_then(Weak::upgrade).unwrap_or_else(|| {
                let options = memory::Options { event_bytes_max: ByteSize::mib(2), ..memory::Options::default() };
                let announce = fanfare_bus::composed::announcer(&fanout);
                Arc::new(MemoryLog::new(setting.clock, announce, options))
            });
            logs.insert(setting.place, Arc::downgrade(&log));
            Arc::new(Composed::new(log, fanout, setting.policies)) as Arc<dyn Broker>
        }
    })
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_keep_their_promises() {
    let server = Nats::start().await;
    let url = server.url();
    fanfare_cluster::contract::run(move |setting| {
        let options = options(vec![url.clone()], &format!("leases{}", setting.place));
        async move { engine(options).await.leases().await.expect("the leases open") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_keep_their_promises() {
    let server = Nats::start().await;
    let url = server.url();
    fanfare_consumer::contract::run(move |setting| {
        let options = options(vec![url.clone()], &format!("cursors{}", setting.place));
        let limits = fanfare_consumer::Options { consumers_max: setting.consumers_max, ..Default::default() };
        async move { engine(options).await.cursors(&limits).await.expect("the cursors open") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_keeps_its_promises() {
    let server = Nats::start().await;
    let url = server.url();
    let only = std::env::var("CASE").unwrap_or_default();
    fanfare_presence::contract::run_only(&only, move |setting| {
        let options = options(vec![url.clone()], &format!("presence{}", setting.place));
        async move { engine(options).await.presence().await.expect("presence opens") }
    })
    .await;
}
