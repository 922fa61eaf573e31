//! Opening what a node keeps: logs, who is where, and the cursors of consumers.

use std::sync::Arc;

use fanfare_bus::Hub;
use fanfare_consumer::{Cursors, EmbeddedCursors, MemoryCursors};
use fanfare_history::Log;
use fanfare_history::embedded::EmbeddedLog;
use fanfare_history::memory::MemoryLog;
use fanfare_model::Clock;

use crate::config::{Config, EngineKind};
use crate::failure::{Code, Failure};

/// Opens the log of the configured engine; what it stores is announced to `hub`. May take seconds after a crash.
pub(super) fn log(config: &Config, clock: &Arc<dyn Clock>, hub: &Arc<Hub>) -> Result<Arc<dyn Log>, Failure> {
    let options = &config.engine;
    let (clock, hub) = (Arc::clone(clock), Arc::clone(hub));
    match options.kind {
        EngineKind::Memory => Ok(Arc::new(MemoryLog::new(clock, hub, options.memory.clone()))),
        EngineKind::Embedded => {
            std::fs::create_dir_all(&options.path).map_err(|error| {
                let text = format!("the directory {} cannot be made (engine.path)", options.path.display());
                Failure::because(Code::StoreUnopened, text, error)
            })?;
            let log = EmbeddedLog::open(options.embedded.clone(), clock, hub).map_err(|error| {
                let path = options.embedded.path.display();
                Failure::because(Code::StoreUnopened, format!("the event store in {path} cannot be opened"), error)
            })?;
            Ok(Arc::new(log))
        }
    }
}

/// Opens the cursors of consumers, which are kept as the log is.
pub(super) fn cursors(config: &Config) -> Result<Arc<dyn Cursors>, Failure> {
    let options = &config.consumers;
    match config.engine.kind {
        EngineKind::Memory => Ok(Arc::new(MemoryCursors::new(options.consumers_max))),
        EngineKind::Embedded => {
            let cursors = EmbeddedCursors::open(options).map_err(|error| {
                let text = format!("the store of consumers in {} cannot be opened", options.path.display());
                Failure::because(Code::StoreUnopened, text, error)
            })?;
            Ok(Arc::new(cursors))
        }
    }
}

/// How presence works: what it must tell after a crash is kept beside the log, if that is kept.
pub(super) fn presence(config: &Config) -> fanfare_presence::Options {
    let mut options = config.presence.clone();
    if config.engine.kind == EngineKind::Embedded {
        options.path.get_or_insert_with(|| config.engine.path.join("presence"));
    }
    options
}
