//! The contract, on each engine.

use std::sync::Arc;

use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Presence, contract};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract::run(|| async { Arc::new(MemoryPresence::new()) as Arc<dyn Presence> }).await;
}
