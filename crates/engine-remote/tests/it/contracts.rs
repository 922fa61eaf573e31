//! The suites of every trait, through a gateway.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;

use fanfare_bus::contract as bus;
use fanfare_lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::hub::{Keeps, Plan, TestHub, gateway};

/// The hubs of a suite, one for each place.
#[derive(Default)]
struct Hubs {
    hubs: Mutex<HashMap<usize, Place>>,
    life: Lifecycle,
}

struct Place {
    hub: TestHub,
    _dir: Option<TempDir>,
    /// Which nodes there have been.
    nodes: Vec<usize>,
}

impl Hubs {
    /// The address of the hub of `place`, for a node. What is kept in memory is gone when a node is made again: the hub has
    /// started again as well.
    async fn address(&self, place: usize, node: usize, embedded: bool, plan: impl FnOnce(Keeps) -> Plan) -> SocketAddr {
        let mut hubs = self.hubs.lock().await;
        if !embedded && hubs.get(&place).is_some_and(|place| place.nodes.contains(&node)) {
            hubs.remove(&place);
        }
        let place = match hubs.entry(place) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(vacant) => {
                let dir = embedded.then(|| tempfile::tempdir().unwrap());
                let keeps = dir.as_ref().map_or(Keeps::Memory, |dir| Keeps::In(dir.path().to_owned()));
                let hub = TestHub::start(plan(keeps)).await;
                vacant.insert(Place { hub, _dir: dir, nodes: Vec::new() })
            }
        };
        place.nodes.push(node);
        place.hub.address()
    }
}

async fn brokers(embedded: bool) {
    let hubs = Arc::new(Hubs::default());
    let suite = bus::Suite::new(move |setting: bus::Setting| {
        let hubs = Arc::clone(&hubs);
        async move {
            // The time of events is the hub's.
            let bus::Setting { place, node, receive, policies, .. } = setting;
            let plan = |keeps| Plan { policies, ..Plan::of(keeps) };
            let address = hubs.address(place, node, embedded, plan).await;
            gateway(address, &hubs.life).await.broker(receive)
        }
    });
    suite.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_on_memory() {
    brokers(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_on_a_directory() {
    brokers(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases() {
    let hubs = Arc::new(Hubs::default());
    fanfare_cluster::contract::run(move |setting| {
        let hubs = Arc::clone(&hubs);
        async move {
            let address = hubs.address(setting.place, 0, true, Plan::of).await;
            gateway(address, &hubs.life).await.leases()
        }
    })
    .await;
}

async fn cursors(embedded: bool) {
    let hubs = Arc::new(Hubs::default());
    fanfare_consumer::contract::run(move |setting| {
        let hubs = Arc::clone(&hubs);
        async move {
            let plan = |keeps| Plan { consumers_max: setting.consumers_max, ..Plan::of(keeps) };
            let address = hubs.address(setting.place, 0, embedded, plan).await;
            gateway(address, &hubs.life).await.cursors()
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_on_memory() {
    cursors(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_on_a_directory() {
    cursors(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence() {
    let hubs = Arc::new(Hubs::default());
    fanfare_presence::contract::run(|setting| {
        let hubs = Arc::clone(&hubs);
        async move {
            let address = hubs.address(setting.place, 0, true, Plan::of).await;
            gateway(address, &hubs.life).await.presence()
        }
    })
    .await;
}
