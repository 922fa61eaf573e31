//! The route, and the way from a request to a connection.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use fanfare_auth::{Door, Principal, Refusal};
use fanfare_lifecycle::{Lifecycle, Phase, TaskKind};
use fanfare_model::Kind;
use fanfare_session::client::{Client, Host, Peer};
use fanfare_session::{Node, Protocol, access};
use futures_util::FutureExt as _;
use http::header;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::bare::bare;
use crate::connection::{self, Settings};
use crate::frame::Decoder;
use crate::handshake::{Accepted, Credential, Handshake, Rejected};
use crate::metrics::{Handles, REFUSED};

/// The most bytes of a `User-Agent` that are kept.
const AGENT_BYTES_MAX: usize = 128;

/// What all connections of this gateway on one worker share.
pub(crate) struct Gateway {
    host: Arc<Host>,
    settings: Arc<Settings>,
    handshake: Handshake,
    /// A permit for each connection that has not said who it is.
    arrivals: Arc<Semaphore>,
}

/// The route `/v1/ws` on the worker of `node`. The server must run it with upgrades, over HTTP/1.1, on the runtime
/// of that worker; the client's address is taken from a [`ConnectInfo`] among the request's extensions.
pub fn router(node: Node, options: Arc<Options>) -> Router {
    let gateway = Gateway {
        handshake: Handshake::new(&options, node.auth.cookie_name().map(str::to_owned)),
        arrivals: Arc::new(Semaphore::new(options.unconnected_max.min(Semaphore::MAX_PERMITS))),
        host: Arc::new(Host::new(node, options.limits(), Protocol::WebSocket)),
        settings: Arc::new(Settings { options, metrics: Handles::new() }),
    };
    Router::new().route("/v1/ws", any(upgrade)).with_state(Arc::new(gateway))
}

async fn upgrade(State(gateway): State<Arc<Gateway>>, mut request: Request) -> Response {
    let upgrading = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let (accepted, introduced, permit) = match gateway.admit(&head).await {
        Ok(admitted) => admitted,
        Err(rejected) => {
            counter!(REFUSED, "reason" => rejected.code()).increment(1);
            return rejected.response();
        }
    };
    let response = accepted.response::<Body>();
    let peer = Peer {
        address: head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
        agent: agent(&head.headers),
    };
    let life = gateway.host.node.life.clone();
    let decoder = accepted.decoder();
    let client = Client::new(Arc::clone(&gateway.host), accepted.dialect, peer);
    let place = head.extensions.get::<fanfare_session::Connection>().map(|about| Arc::clone(&about.place));
    let arrival = Arrival { client, decoder, introduced, permit, place, settings: Arc::clone(&gateway.settings) };
    let serving = life.clone();
    life.spawn(TaskKind::Connection, "websocket handshake", async move {
        let stop = serving.hard().clone();
        tokio::select! {
            // An error: the client is gone before the answer was out, and there is nobody to tell.
            upgraded = upgrading => if let Ok(upgraded) = upgraded { serve(&serving, upgraded, arrival) },
            () = stop.cancelled() => {}
        }
    });
    response
}

impl Gateway {
    async fn admit(
        &self,
        head: &http::request::Parts,
    ) -> Result<(Accepted, Option<Introduced>, OwnedSemaphorePermit), Rejected> {
        let mut accepted = self.handshake.check(head)?;
        let node = &self.host.node;
        if node.life.phase() >= Phase::Draining {
            return Err(Rejected::busy(Kind::Unavailable, "this node is stopping; connect again"));
        }
        let permit = Arc::clone(&self.arrivals)
            .try_acquire_owned()
            .map_err(|_| Rejected::busy(Kind::Overloaded, "too many connections wait to say who they are"))?;
        let introduced = match accepted.credential.take() {
            None => None,
            Some(Credential::Bearer(token)) => {
                let principal = access::admit(node, Door::Client, Some(&token)).await.map_err(Rejected::credentials)?;
                Some(Ok(principal))
            }
            // A page is not told why a handshake was refused, and would try for ever with a cookie that has expired.
            Some(Credential::Cookie(token)) => Some(access::admit(node, Door::Client, Some(&token)).await),
        };
        Ok((accepted, introduced, permit))
    }
}

/// Who a client is by its handshake, or why it is not let in, which it is told as soon as it can be.
pub(crate) type Introduced = Result<Principal, Refusal>;

/// A client at the moment its connection has become a WebSocket.
pub(crate) struct Arrival {
    pub(crate) client: Client,
    /// Of what was agreed on with it.
    pub(crate) decoder: Decoder,
    /// Who it is, if it has said so in the handshake.
    pub(crate) introduced: Option<Introduced>,
    /// Its place among those who have not said who they are.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Its place among the connections of the node, held as long as the socket is.
    pub(crate) place: Option<Place>,
    pub(crate) settings: Arc<Settings>,
}

type Place = Arc<dyn Any + Send + Sync>;

/// Starts the connection's own task, which then is all there is of it: on the bare socket if there is one beneath, so
/// that nothing of the HTTP connection stays in memory; otherwise (TLS, or a stream of another kind) on whatever
/// carries the upgrade.
fn serve(life: &Lifecycle, upgraded: Upgraded, arrival: Arrival) {
    let stop = life.hard().clone();
    match bare(upgraded) {
        Ok((stream, read_ahead)) => {
            let connection = connection::run(stream, read_ahead, arrival);
            life.spawn(TaskKind::Connection, "websocket", until(connection, stop));
        }
        Err(upgraded) => {
            let connection = connection::run(TokioIo::new(upgraded), Bytes::new(), arrival);
            life.spawn(TaskKind::Connection, "websocket", until(connection, stop));
        }
    }
}

/// A connection that is dropped at `stop`. Not an `async fn`, which would hold the connection twice.
fn until(connection: impl Future<Output = ()>, stop: CancellationToken) -> impl Future<Output = ()> {
    connection.with_cancellation_token_owned(stop).map(|_stopped| ())
}

fn agent(headers: &http::HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // Visible ASCII, so that every byte is a boundary.
    Some(text[..text.len().min(AGENT_BYTES_MAX)].into())
}
