//! Redis and Valkey.

use std::sync::Arc;

use fanfare_bus::{Broker, Fanout, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_engine_redis as engine;
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

struct Redis {
    engine: Arc<engine::Engine>,
    consumers: fanfare_consumer::Options,
}

pub(super) async fn connect(
    config: &Config,
    clock: &Arc<dyn Clock>,
    life: &Lifecycle,
) -> Result<Box<dyn Backend>, Failure> {
    let connect = || engine::Engine::connect(&config.engine.redis, Arc::clone(clock), life).boxed();
    let engine = patiently(Engine::Redis, config.engine.start_patience.get(), engine::Error::kind, connect).await?;
    Ok(Box::new(Redis { engine, consumers: config.consumers.clone() }))
}

impl Backend for Redis {
    fn engine(&self) -> Engine {
        Engine::Redis
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(self.engine.capabilities())
    }

    fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        opened(self.engine.broker(policies, receive))
    }

    fn log(&self, policies: Arc<Policies>, announce: Arc<dyn Announce>) -> Opening<'_, dyn Log> {
        opened(self.engine.log(policies, announce))
    }

    fn fanout(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Fanout> {
        opened(self.engine.fanout(policies, receive))
    }

    fn restore(&self, policies: Arc<Policies>) -> Opening<'_, dyn TakeOver> {
        opened(self.engine.target(policies, Arc::new(Deaf)))
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
