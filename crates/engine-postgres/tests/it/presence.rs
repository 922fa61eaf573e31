//! The contract of presence.

use std::sync::Arc;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;

use crate::support::{engine, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_presence() {
    let life = Lifecycle::new();
    let server = shared().await;
    fanfare_presence::contract::run(move |setting| {
        let life = life.clone();
        async move {
            let schema = format!("presence_{}", setting.place);
            engine(&server.url(), &schema, Arc::new(SystemClock), &life).await.presence()
        }
    })
    .await;
}
