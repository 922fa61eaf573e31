//! The contract, on each engine.

use std::sync::Arc;

use fanfare_history::embedded::{self, EmbeddedLog};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_history::{Log, contract};
use fanfare_model::ByteSize;

use crate::directory;

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract::run(|setting| async move {
        let options = memory::Options { event_bytes_max: ByteSize::kib(64), ..memory::Options::default() };
        Arc::new(MemoryLog::new(setting.clock, setting.heard, options)) as Arc<dyn Log>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_the_contract() {
    let dir = directory();
    let path = dir.path().to_owned();
    contract::run(move |setting| {
        let options = embedded::Options {
            event_bytes_max: ByteSize::kib(64),
            ..embedded::Options::at(path.join(setting.place.to_string()))
        };
        async move { Arc::new(EmbeddedLog::open(options, setting.clock, setting.heard).unwrap()) as Arc<dyn Log> }
    })
    .await;
}

/// The bounds at their smallest: groups of one event, moved to the store at once, no cache to speak of.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_the_contract_with_the_smallest_bounds() {
    let dir = directory();
    let path = dir.path().to_owned();
    contract::run(move |setting| {
        let options = embedded::Options {
            event_bytes_max: ByteSize::kib(1),
            group_events_max: 1,
            group_bytes_max: ByteSize(1),
            topics_cached_max: 1,
            memory_bytes_max: ByteSize(1),
            read_threads: 1,
            ..embedded::Options::at(path.join(setting.place.to_string()))
        };
        async move { Arc::new(EmbeddedLog::open(options, setting.clock, setting.heard).unwrap()) as Arc<dyn Log> }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_takes_over_another_log() {
    contract::restoring(|setting| async move {
        Arc::new(MemoryLog::new(setting.clock, setting.heard, memory::Options::default()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_takes_over_another_log() {
    let dir = directory();
    let path = dir.path().to_owned();
    contract::restoring(move |setting| {
        let options = embedded::Options::at(path.join(setting.place.to_string()));
        async move { Arc::new(EmbeddedLog::open(options, setting.clock, setting.heard).unwrap()) }
    })
    .await;
}
