//! The contract on brokers made of a log and a carrier, several nodes of which share both in this process.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use fanfare_bus::contract::{Announced, Carrier, Setting, Suite};
use fanfare_bus::{Broker, Composed};
use fanfare_history::embedded::{self, EmbeddedLog};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_history::{Announce, Log};
use fanfare_model::ByteSize;
use parking_lot::Mutex;

use crate::support::directory;

/// What nodes share, as long as one lives.
type Shared = (Weak<dyn Log>, Weak<Carrier>);

/// The log and the carrier of each place.
#[derive(Default)]
struct Places(Mutex<HashMap<usize, Shared>>);

impl Places {
    fn node(
        &self,
        setting: Setting,
        carrier: impl FnOnce(&Setting) -> Arc<Carrier>,
        log: impl FnOnce(&Setting, Arc<dyn Announce>) -> Arc<dyn Log>,
    ) -> Arc<dyn Broker> {
        let mut places = self.0.lock();
        let known = places.get(&setting.place).and_then(|(log, carrier)| log.upgrade().zip(carrier.upgrade()));
        let (log, carrier) = known.unwrap_or_else(|| {
            let carrier = carrier(&setting);
            (log(&setting, carrier.announcer()), carrier)
        });
        places.insert(setting.place, (Arc::downgrade(&log), Arc::downgrade(&carrier)));
        Arc::new(Composed::new(log, carrier.join(setting.receive), setting.policies))
    }
}

fn sound(setting: &Setting) -> Arc<Carrier> {
    Carrier::new(Arc::clone(&setting.clock) as _)
}

fn lossy(setting: &Setting) -> Arc<Carrier> {
    Carrier::lossy(Arc::clone(&setting.clock) as _, setting.place as u64)
}

fn in_memory(setting: &Setting, announce: Arc<dyn Announce>) -> Arc<dyn Log> {
    let options = memory::Options { event_bytes_max: ByteSize::mib(2), ..memory::Options::default() };
    Arc::new(MemoryLog::new(Arc::clone(&setting.clock) as _, announce, options))
}

fn in_directory(dir: &Path, setting: &Setting, announce: Arc<dyn Announce>) -> Arc<dyn Log> {
    let path = dir.join(setting.place.to_string());
    let options = embedded::Options { event_bytes_max: ByteSize::mib(2), ..embedded::Options::at(path) };
    Arc::new(EmbeddedLog::open(options, Arc::clone(&setting.clock) as _, announce).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_log_and_a_carrier() {
    let places = Arc::new(Places::default());
    let make = move |setting| std::future::ready(places.node(setting, sound, in_memory));
    Suite::new(make).announced(Announced::First).histories(64).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_log_and_a_carrier_that_loses_three_of_ten() {
    let places = Arc::new(Places::default());
    let make = move |setting| std::future::ready(places.node(setting, lossy, in_memory));
    Suite::new(make).announced(Announced::Perhaps).nodes(3).histories(64).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_log_and_a_carrier() {
    let (places, dir) = (Arc::new(Places::default()), directory());
    let path = dir.path().to_owned();
    let make = move |setting| {
        std::future::ready(places.node(setting, sound, |setting, announce| in_directory(&path, setting, announce)))
    };
    Suite::new(make).announced(Announced::First).histories(64).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_log_and_a_carrier_that_loses_three_of_ten() {
    let (places, dir) = (Arc::new(Places::default()), directory());
    let path = dir.path().to_owned();
    let make = move |setting| {
        std::future::ready(places.node(setting, lossy, |setting, announce| in_directory(&path, setting, announce)))
    };
    Suite::new(make).announced(Announced::Perhaps).histories(16).run().await;
}
