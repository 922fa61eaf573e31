//! The engines within this process: in memory, or in a directory of this machine.

use std::sync::Arc;

use fanfare_bus::{Broker, LocalBroker, Policies, Receive};
use fanfare_cluster::{Leases, MemoryLeases};
use fanfare_consumer::{Cursors, EmbeddedCursors, MemoryCursors};
use fanfare_history::embedded::EmbeddedLog;
use fanfare_history::memory::MemoryLog;
use fanfare_history::{Announce, Log};
use fanfare_model::Clock;
use fanfare_presence::Presence;
use fanfare_presence::memory::MemoryPresence;
use futures_util::future::ready;

use super::backend::{Backend, Opening, TakeOver, lacks, opened};
use super::kept::Deaf;
use crate::config::{Config, Engine, EngineOptions};
use crate::failure::{Code, Failure};

pub(super) struct Local {
    engine: Engine,
    options: EngineOptions,
    consumers: fanfare_consumer::Options,
    /// Whether other nodes use it as well.
    #[cfg(feature = "remote")]
    lent: bool,
    clock: Arc<dyn Clock>,
}

impl Local {
    pub(super) fn new(engine: Engine, config: &Config, clock: &Arc<dyn Clock>) -> Self {
        Self {
            engine,
            options: config.engine.clone(),
            consumers: config.consumers.clone(),
            #[cfg(feature = "remote")]
            lent: config.lends_engine(),
            clock: Arc::clone(clock),
        }
    }

    fn in_memory(&self, announce: Arc<dyn Announce>) -> Arc<dyn Log> {
        Arc::new(MemoryLog::new(Arc::clone(&self.clock), announce, self.options.memory.clone()))
    }

    /// Opens the log; what it stores is announced.
    fn open_log(&self, announce: Arc<dyn Announce>) -> Result<Arc<dyn Log>, Failure> {
        match self.engine {
            Engine::Memory => Ok(self.in_memory(announce)),
            _ => Ok(Arc::new(self.open_store(announce)?)),
        }
    }

    /// Opens the log in the node's directory, which is made. May take seconds after a crash.
    fn open_store(&self, announce: Arc<dyn Announce>) -> Result<EmbeddedLog, Failure> {
        let EngineOptions { path, embedded, .. } = &self.options;
        std::fs::create_dir_all(path).map_err(|error| {
            let text = format!("the directory {} cannot be made (engine.path)", path.display());
            Failure::because(Code::StoreUnopened, text, error)
        })?;
        EmbeddedLog::open(embedded.clone(), Arc::clone(&self.clock), announce).map_err(|error| {
            let path = embedded.path.display();
            Failure::because(Code::StoreUnopened, format!("the event store in {path} cannot be opened"), error)
        })
    }

    /// Opens the cursors of consumers, which are kept as the log is.
    fn open_cursors(&self) -> Result<Arc<dyn Cursors>, Failure> {
        if self.engine == Engine::Memory {
            return Ok(Arc::new(MemoryCursors::new(self.consumers.consumers_max)));
        }
        let cursors = EmbeddedCursors::open(&self.consumers).map_err(|error| {
            let text = format!("the store of consumers in {} cannot be opened", self.consumers.path.display());
            Failure::because(Code::StoreUnopened, text, error)
        })?;
        Ok(Arc::new(cursors))
    }
}

impl Backend for Local {
    fn engine(&self) -> Engine {
        self.engine
    }

    fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        let log = self.open_log(Arc::clone(&receive) as _);
        let passing = self.in_memory(receive);
        let broker = log.map(|log| Arc::new(LocalBroker::new(log, passing, policies)) as Arc<dyn Broker>);
        Box::pin(ready(broker))
    }

    fn log(&self, _: Arc<Policies>, announce: Arc<dyn Announce>) -> Opening<'_, dyn Log> {
        Box::pin(ready(self.open_log(announce)))
    }

    fn restore(&self, _: Arc<Policies>) -> Opening<'_, dyn TakeOver> {
        if self.engine == Engine::Memory {
            return lacks(self.engine, "place that outlives its process", "engine.kind");
        }
        Box::pin(ready(self.open_store(Arc::new(Deaf)).map(|log| Arc::new(log) as Arc<dyn TakeOver>)))
    }

    fn presence(&self) -> Opening<'_, dyn Presence> {
        #[cfg(feature = "remote")]
        if self.lent {
            let shared = MemoryPresence::shared(Arc::clone(&self.clock));
            return opened(Arc::new(fanfare_engine_remote::hub::Lasting::new(shared, &*self.clock)));
        }
        opened(Arc::new(MemoryPresence::new()))
    }

    fn leases(&self) -> Opening<'_, dyn Leases> {
        #[cfg(feature = "remote")]
        if self.lent {
            return opened(Arc::new(fanfare_engine_remote::hub::Lasting::new(MemoryLeases::new(), &*self.clock)));
        }
        opened(Arc::new(MemoryLeases::new()))
    }

    fn cursors(&self) -> Opening<'_, dyn Cursors> {
        Box::pin(ready(self.open_cursors()))
    }
}
