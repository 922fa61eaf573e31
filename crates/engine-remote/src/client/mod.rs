//! The side of a gateway: the engine's traits, over a connection to the hub.

mod broker;
mod cursors;
mod follow;
mod interest;
mod leases;
mod link;
mod log;
mod presence;

use std::error::Error as _;
use std::sync::Arc;

use fanfare_bus::{Broker, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_history::{Capabilities, Log};
use fanfare_lifecycle::Lifecycle;
use fanfare_presence::Presence;
use fanfare_proto::engine as proto;
use tonic::Code;

use crate::{Error, Options, wire};
use link::Link;

/// A connection to the hub. Everything made of it shares one HTTP/2 connection, which is made again when it breaks; the
/// hub's news have a stream of their own on it.
pub struct Engine {
    link: Arc<Link>,
    capabilities: Capabilities,
    shards: u16,
    options: Options,
    life: Lifecycle,
}

impl Engine {
    /// Connects to the hub and learns what it can do.
    pub async fn connect(options: &Options, life: &Lifecycle) -> Result<Arc<Self>, Error> {
        options.validate().map_err(Error::Options)?;
        let link = Arc::new(Link::new(options)?);
        let (hello, shards) = meet(&link).await.map_err(|status| not_met(link.url(), &status))?;
        let unreachable =
            |source: wire::Malformed| Error::Unreachable { url: link.url().to_owned(), source: source.into() };
        let capabilities =
            wire::log::to_capabilities(&hello, options.message_bytes_max.as_usize()).map_err(unreachable)?;
        let shards = u16::try_from(shards).map_err(|_| unreachable(wire::Malformed("number of shards")))?;
        tracing::info!(hub = link.url(), version = hello.version, engine = hello.engine, "connected to the hub");
        Ok(Arc::new(Self { link, capabilities, shards, options: options.clone(), life: life.clone() }))
    }

    /// What the hub's engine can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The hub's broker. `receive` is told the news of attached topics. Starts a task on the current runtime, which ends
    /// when the broker is closed or dropped. What is kept of a topic is as this node's policies say; whether it is kept at
    /// all, as the hub's do.
    pub fn broker(&self, receive: Arc<dyn Receive>) -> Arc<dyn Broker> {
        broker::RemoteBroker::start(Arc::clone(&self.link), self.capabilities, receive, &self.options, &self.life)
    }

    /// The hub's log, for a broker that is composed of it and a fan-out. It announces nothing on this node: the hub does, by
    /// the same fan-out, of which its own broker is composed.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::new(log::RemoteLog::new(Arc::clone(&self.link), self.capabilities, self.life.clone()))
    }

    /// The hub's leases.
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::RemoteLeases(Arc::clone(&self.link)))
    }

    /// The hub's cursors of consumers. How many a tenant may have is as the hub's options say.
    pub fn cursors(&self) -> Arc<dyn Cursors> {
        Arc::new(cursors::RemoteCursors::new(Arc::clone(&self.link), self.capabilities.survives_restart))
    }

    /// Who is where, as the hub knows it.
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::new(presence::RemotePresence::new(Arc::clone(&self.link), self.shards))
    }
}

async fn meet(link: &Link) -> Result<(proto::HelloResponse, u32), tonic::Status> {
    use crate::metrics::Service;
    let request = proto::HelloRequest { version: env!("CARGO_PKG_VERSION").to_owned() };
    let hello = link.answer(Service::Log, link.engine().hello(request)).await?;
    let shards = link.answer(Service::Presence, link.presence().shards(proto::ShardsRequest {})).await?;
    Ok((hello, shards.shards))
}

/// Why the hub cannot be used.
fn not_met(url: &str, status: &tonic::Status) -> Error {
    let (url, source) = (url.to_owned(), innermost(status).into());
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Error::Denied { url },
        Code::Internal | Code::Unimplemented => Error::NoHub { url, source },
        _ => Error::Unreachable { url, source },
    }
}

/// What a call failed of, without what it was wrapped in on its way.
fn innermost(status: &tonic::Status) -> String {
    let mut cause = status.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| status.message().to_owned(), ToString::to_string)
}
