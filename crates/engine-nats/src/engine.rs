//! One engine: a connection, and what is built on it.

use std::sync::Arc;

use fanfare_bus::{Broker, Fanout, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_history::{Capabilities, Durability, Failover, Retention, TimeOf, Window};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_presence::Presence;
use futures_util::future::BoxFuture;

use crate::broker::{NatsBroker, event_bytes_max};
use crate::cursors::NatsCursors;
use crate::error::Error;
use crate::fanout::NatsFanout;
use crate::leases::NatsLeases;
use crate::link::Link;
use crate::options::Options;
use crate::presence::NatsPresence;

/// A connection to NATS, and everything that Fanfare keeps there.
pub struct Engine {
    link: Arc<Link>,
    options: Options,
    life: Lifecycle,
}

impl Engine {
    /// Connects, and checks that the servers can do what is needed; the error says what to change.
    pub fn connect<'a>(
        options: &'a Options,
        clock: Arc<dyn Clock>,
        life: &'a Lifecycle,
    ) -> BoxFuture<'a, Result<Arc<Self>, Error>> {
        Box::pin(async move {
            options.check()?;
            let link = Link::connect(options, clock, life).await?;
            Ok(Arc::new(Self { link, options: options.clone(), life: life.clone() }))
        })
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "nats",
            durability_max: if self.options.synced { Durability::Committed } else { Durability::Buffered },
            survives_restart: true,
            failover: if self.options.replicas > 1 { Failover::All } else { Failover::None },
            event_bytes_max: event_bytes_max(&self.link),
            dense: false,
            retention: Retention::PerKind,
            bounds_bytes: false,
            truncates: true,
            window: Window::Fixed(self.options.idempotency_window.get()),
            time: TimeOf::Engine,
        }
    }

    /// The broker. Makes the streams that the policies need, and brings those that are there to what the policies say.
    pub fn broker(
        &self,
        policies: Arc<Policies>,
        receive: Arc<dyn Receive>,
    ) -> BoxFuture<'_, Result<Arc<dyn Broker>, Error>> {
        let (link, capabilities) = (Arc::clone(&self.link), self.capabilities());
        Box::pin(async move {
            let opened = NatsBroker::open(link, &self.options, policies, receive, capabilities, &self.life).await?;
            Ok(opened as Arc<dyn Broker>)
        })
    }

    /// What carries the news of another engine's log ([`fanfare_bus::Composed`]). Makes the stream of topics that keep
    /// nothing.
    pub fn fanout(
        &self,
        policies: Arc<Policies>,
        receive: Arc<dyn Receive>,
    ) -> BoxFuture<'_, Result<Arc<dyn Fanout>, Error>> {
        let link = Arc::clone(&self.link);
        Box::pin(async move {
            let opened = NatsFanout::open(link, &self.options, policies, receive, &self.life).await?;
            Ok(opened as Arc<dyn Fanout>)
        })
    }

    /// The leases. Makes their stream.
    pub fn leases(&self) -> BoxFuture<'_, Result<Arc<dyn Leases>, Error>> {
        Box::pin(async move { Ok(NatsLeases::open(Arc::clone(&self.link), &self.options).await? as Arc<dyn Leases>) })
    }

    /// Who is where. Makes its streams.
    pub fn presence(&self) -> BoxFuture<'_, Result<Arc<dyn Presence>, Error>> {
        let link = Arc::clone(&self.link);
        Box::pin(async move { Ok(NatsPresence::open(link, &self.options, &self.life).await? as Arc<dyn Presence>) })
    }

    /// Where consumers keep their progress. Makes its stream.
    pub fn cursors(&self, options: &fanfare_consumer::Options) -> BoxFuture<'_, Result<Arc<dyn Cursors>, Error>> {
        let consumers_max = options.consumers_max;
        Box::pin(async move {
            let opened = NatsCursors::open(Arc::clone(&self.link), &self.options, consumers_max).await?;
            Ok(opened as Arc<dyn Cursors>)
        })
    }
}
