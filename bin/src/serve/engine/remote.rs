//! Hub mode: using the log of another node, and lending that of this one.

use std::sync::Arc;

use fanfare_bus::{Broker, Hub, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_engine_remote as engine;
use fanfare_engine_remote::hub::{Followers, Offer};
use fanfare_history::{Announce, Capabilities, Log};
use fanfare_lifecycle::Lifecycle;
use fanfare_presence::Presence;
use futures_util::FutureExt as _;

use super::backend::{Backend, Opening, opened, unusable};
use super::patience::patiently;
use crate::config::{Config, Engine, EngineKind};
use crate::failure::Failure;

pub(super) struct Remote(Arc<engine::Engine>);

pub(super) async fn connect(config: &Config, life: &Lifecycle) -> Result<Box<dyn Backend>, Failure> {
    let connect = || engine::Engine::connect(&config.engine.remote, life).boxed();
    let engine = patiently(Engine::Remote, config.engine.start_patience.get(), engine::Error::kind, connect).await?;
    Ok(Box::new(Remote(engine)))
}

impl Backend for Remote {
    fn engine(&self) -> Engine {
        Engine::Remote
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(self.0.capabilities())
    }

    fn broker(&self, _: Arc<Policies>, receive: Arc<dyn Receive>) -> Opening<'_, dyn Broker> {
        opened(self.0.broker(receive))
    }

    fn log(&self, _: Arc<Policies>, _: Arc<dyn Announce>) -> Opening<'_, dyn Log> {
        opened(self.0.log())
    }

    fn presence(&self) -> Opening<'_, dyn Presence> {
        opened(self.0.presence())
    }

    fn leases(&self) -> Opening<'_, dyn Leases> {
        opened(self.0.leases())
    }

    fn cursors(&self) -> Opening<'_, dyn Cursors> {
        opened(self.0.cursors())
    }
}

/// What this node lends to others, if it does.
pub(super) struct Lending {
    receive: Arc<dyn Receive>,
    lent: Option<Lent>,
}

struct Lent {
    options: engine::Options,
    /// Gateways hear the news from here, unless a fan-out carries them.
    followers: Option<Arc<Followers>>,
    life: Lifecycle,
}

impl Lending {
    /// What is to be told the news: this node's hub, and nodes that this one lends its engine to.
    pub(super) fn of(config: &Config, life: &Lifecycle, hub: &Arc<Hub>) -> Self {
        let receive: Arc<dyn Receive> = Arc::clone(hub) as _;
        if !config.lends_engine() {
            return Self { receive, lent: None };
        }
        let options = config.engine.remote.clone();
        let alone = config.engine.kind != EngineKind::Composed;
        let followers = alone.then(|| Followers::new(Arc::clone(&receive), &options));
        let receive = followers.as_ref().map_or(receive, |followers| Arc::clone(followers) as _);
        Self { receive, lent: Some(Lent { options, followers, life: life.clone() }) }
    }

    pub(super) fn receive(&self) -> Arc<dyn Receive> {
        Arc::clone(&self.receive)
    }

    pub(super) fn lend(
        self,
        broker: &Arc<dyn Broker>,
        presence: &Arc<dyn Presence>,
        leases: &Arc<dyn Leases>,
        cursors: &Arc<dyn Cursors>,
    ) -> Result<Option<engine::hub::Hub>, Failure> {
        let Some(Lent { options, followers, life }) = self.lent else { return Ok(None) };
        let offer = Offer {
            broker: Arc::clone(broker),
            followers,
            leases: Arc::clone(leases),
            cursors: Arc::clone(cursors),
            presence: Arc::clone(presence),
        };
        let hub = engine::hub::Hub::new(offer, &options, &life);
        hub.map(Some).map_err(|error| unusable(Engine::Remote, error))
    }
}
