//! The contract, on each broker of this crate.

use std::sync::Arc;

use fanfare_bus::contract::{Setting, Suite};
use fanfare_bus::{Broker, LocalBroker};
use fanfare_history::contract::Announced;
use fanfare_history::embedded::{self, EmbeddedLog};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_model::ByteSize;

use crate::support::directory;

fn memory_log(setting: &Setting) -> Arc<MemoryLog> {
    let options = memory::Options { event_bytes_max: ByteSize::mib(2), ..memory::Options::default() };
    Arc::new(MemoryLog::new(Arc::clone(&setting.clock) as _, Arc::clone(&setting.receive) as _, options))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_log_in_one_process() {
    let make = |setting: Setting| async move {
        let (log, passing) = (memory_log(&setting), memory_log(&setting));
        Arc::new(LocalBroker::new(log, passing, setting.policies)) as Arc<dyn Broker>
    };
    Suite::new(make).nodes(1).announced(Announced::First).histories(64).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_log_in_one_process() {
    let dir = directory();
    let path = dir.path().to_owned();
    let make = move |setting: Setting| {
        let options = embedded::Options {
            event_bytes_max: ByteSize::mib(2),
            ..embedded::Options::at(path.join(setting.place.to_string()))
        };
        async move {
            let announce = Arc::clone(&setting.receive) as _;
            let log = Arc::new(EmbeddedLog::open(options, Arc::clone(&setting.clock) as _, announce).unwrap());
            let passing = memory_log(&setting);
            Arc::new(LocalBroker::new(log, passing, setting.policies)) as Arc<dyn Broker>
        }
    };
    Suite::new(make).nodes(1).announced(Announced::First).histories(64).run().await;
}
