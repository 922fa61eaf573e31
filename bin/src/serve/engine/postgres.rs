//! `PostgreSQL`.

use std::sync::Arc;

use fanfare_bus::{Broker, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_engine_postgres as engine;
use fanfare_history::{Announce, Capabilities, Log};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_presence::Presence;
use futures_util::FutureExt as _;

use super::backend::{Backend, Opening, TakeOver, opened};
use super::kept::Deaf;
use super::patience::patiently;
use crate::config::{Config, Engine};
use crate::failure::Failure;

struct Postgres {
    engine: Arc<engine::Engine>,
    consumers: fanfare_consumer::Options,
}

pub(super) async fn connect(
    config: &Config,
    clock: &Arc<dyn Clock>,
    life: &Lifecycle,
) -> Result<Box<dyn Backend>, Failure> {
    let connect = || engine::Engine::connect(&config.engine.postgres, Arc::clone(clock), life).boxed();
    let engine = patiently(Engine::Postgres, config.engine.start_patience.get(), engine::Error::kind, connect).await?;
    Ok(Box::new(Postgres { engine, consumers: config.consumers.clone() }))
}

impl Backend for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(self.engine.capabilities())
    }

    fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        opened(self.engine.broker(policies, receive))
    }

    fn log(&self, policies: Arc<Policies>, announce: Arc<dyn Announce>) -> Opening<'_, dyn Log> {
        opened(self.engine.log(&policies, announce))
    }

    fn restore(&self, policies: Arc<Policies>) -> Opening<'_, dyn TakeOver> {
        opened(self.engine.target(&policies, Arc::new(Deaf)))
    }

    fn presence(&self) -> Opening<'_, dyn Presence> {
        opened(self.engine.presence())
    }

    fn leases(&self) -> Opening<'_, dyn Leases> {
        opened(self.engine.leases())
    }

    fn cursors(&self) -> Opening<'_, dyn Cursors> {
        opened(self.engine.cursors(&self.consumers))
    }
}
