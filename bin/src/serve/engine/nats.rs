//! NATS, with `JetStream`.

use std::sync::Arc;

use fanfare_bus::{Broker, Fanout, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_engine_nats as engine;
use fanfare_history::Capabilities;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_presence::Presence;
use futures_util::{FutureExt as _, TryFutureExt as _};

use super::backend::{Backend, Opening, unusable};
use super::patience::patiently;
use crate::config::{Config, Engine};
use crate::failure::Failure;

struct Nats {
    engine: Arc<engine::Engine>,
    consumers: fanfare_consumer::Options,
}

pub(super) async fn connect(
    config: &Config,
    clock: &Arc<dyn Clock>,
    life: &Lifecycle,
) -> Result<Box<dyn Backend>, Failure> {
    let connect = || engine::Engine::connect(&config.engine.nats, Arc::clone(clock), life);
    let engine = patiently(Engine::Nats, config.engine.start_patience.get(), engine::Error::kind, connect).await?;
    Ok(Box::new(Nats { engine, consumers: config.consumers.clone() }))
}

fn failed(error: engine::Error) -> Failure {
    unusable(Engine::Nats, error)
}

impl Backend for Nats {
    fn engine(&self) -> Engine {
        Engine::Nats
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(self.engine.capabilities())
    }

    fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        self.engine.broker(policies, receive).map_err(failed).boxed()
    }

    fn fanout(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Fanout> {
        self.engine.fanout(policies, receive).map_err(failed).boxed()
    }

    fn presence(&self) -> Opening<'_, dyn Presence> {
        self.engine.presence().map_err(failed).boxed()
    }

    fn leases(&self) -> Opening<'_, dyn Leases> {
        self.engine.leases().map_err(failed).boxed()
    }

    fn cursors(&self) -> Opening<'_, dyn Cursors> {
        self.engine.cursors(&self.consumers).map_err(failed).boxed()
    }
}
