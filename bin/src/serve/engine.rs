//! Opening the engine that keeps the log.

use std::sync::Arc;

use fanfare_bus::Hub;
use fanfare_history::Log;
use fanfare_history::embedded::EmbeddedLog;
use fanfare_history::memory::MemoryLog;
use fanfare_model::Clock;

use crate::config::{EngineKind, EngineOptions};
use crate::failure::{Code, Failure};

/// Opens the engine of the configuration; what it stores is announced to `hub`. May take seconds after a crash.
pub(super) fn open(options: &EngineOptions, clock: &Arc<dyn Clock>, hub: &Arc<Hub>) -> Result<Arc<dyn Log>, Failure> {
    let (clock, hub) = (Arc::clone(clock), Arc::clone(hub));
    match options.kind {
        EngineKind::Memory => Ok(Arc::new(MemoryLog::new(clock, hub, options.memory.clone()))),
        EngineKind::Embedded => {
            let failed = |error| {
                let path = options.embedded.path.display();
                Failure::because(Code::StoreUnopened, format!("the event store in {path} cannot be opened"), error)
            };
            std::fs::create_dir_all(&options.path).map_err(|error| {
                let text = format!("the directory {} cannot be made (engine.path)", options.path.display());
                Failure::because(Code::StoreUnopened, text, error)
            })?;
            Ok(Arc::new(EmbeddedLog::open(options.embedded.clone(), clock, hub).map_err(failed)?))
        }
    }
}
