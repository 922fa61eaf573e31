//! The memory engine against the contract.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_cluster::contract::{self, Setting};
use fanfare_cluster::{Leases, MemoryLeases};
use parking_lot::Mutex;

#[tokio::test]
async fn memory_keeps_the_contract() {
    let places: Mutex<HashMap<Setting, MemoryLeases>> = Mutex::default();
    contract::run(move |setting| {
        let leases = places.lock().entry(setting).or_default().clone();
        async move { Arc::new(leases) as Arc<dyn Leases> }
    })
    .await;
}
