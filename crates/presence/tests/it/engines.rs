//! The contract, on each engine.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_model::SystemClock;
use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Presence, contract};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let places = Arc::new(parking_lot::Mutex::new(HashMap::new()));
    contract::run(|setting| {
        let shared = || Arc::new(MemoryPresence::shared(Arc::new(SystemClock)));
        let engine = Arc::clone(places.lock().entry(setting.place).or_insert_with(shared));
        async move { engine as Arc<dyn Presence> }
    })
    .await;
}
