//! The side of the node that owns the log: what it offers to gateways.

mod cursors;
mod follow;
mod followers;
mod lasting;
mod leases;
mod log;
mod presence;
mod secret;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use fanfare_bus::Broker;
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_lifecycle::Lifecycle;
use fanfare_presence::Presence;
use fanfare_proto::engine::cursors_server::CursorsServer;
use fanfare_proto::engine::engine_server::EngineServer;
use fanfare_proto::engine::leases_server::LeasesServer;
use fanfare_proto::engine::presence_server::PresenceServer;

use crate::{Error, Options};
use secret::Gate;
pub(crate) use secret::shown;

pub use followers::Followers;
pub use lasting::Lasting;

/// What a hub offers: its own engine.
#[derive(Clone)]
pub struct Offer {
    /// The log, and what passes by.
    pub broker: Arc<dyn Broker>,
    /// Who is told of what the broker stores. `None`: the broker carries its news itself, so that gateways hear them from
    /// there and only use the log.
    pub followers: Option<Arc<Followers>>,
    /// The leases of the cluster ([`Lasting`], if they are forgotten with the process).
    pub leases: Arc<dyn Leases>,
    /// The cursors of consumers.
    pub cursors: Arc<dyn Cursors>,
    /// Who is where ([`Lasting`], if that is forgotten with the process).
    pub presence: Arc<dyn Presence>,
}

/// The services for gateways. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    offer: Offer,
    gate: Arc<Gate>,
    message_bytes_max: usize,
    life: Lifecycle,
}

impl Hub {
    /// The services of what is offered, for whoever shows the secret of `options`.
    pub fn new(offer: Offer, options: &Options, life: &Lifecycle) -> Result<Self, Error> {
        let gate = Arc::new(Gate::new(&options.secret()?));
        Ok(Self { offer, gate, message_bytes_max: options.message_bytes_max.as_usize(), life: life.clone() })
    }

    /// The routes, to be merged with others. The server must speak HTTP/2.
    pub fn router(&self) -> Router {
        let Self { offer, message_bytes_max: most, life, .. } = self.clone();
        let engine = log::Service { broker: offer.broker, followers: offer.followers, life };
        let engine = EngineServer::new(engine).max_decoding_message_size(most).max_encoding_message_size(most);
        let leases = LeasesServer::new(leases::Service(offer.leases));
        let cursors = CursorsServer::new(cursors::Service(offer.cursors)).max_decoding_message_size(most);
        let presence = PresenceServer::new(presence::Service(offer.presence)).max_decoding_message_size(most);
        Router::new()
            .route_service("/fanfare.engine.v1.Engine/{*method}", engine)
            .route_service("/fanfare.engine.v1.Leases/{*method}", leases)
            .route_service("/fanfare.engine.v1.Cursors/{*method}", cursors)
            .route_service("/fanfare.engine.v1.Presence/{*method}", presence)
            .layer(from_fn_with_state(Arc::clone(&self.gate), secret::check))
    }
}
