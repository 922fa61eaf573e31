//! A node on a memory log behind a real listener, and a client that speaks JSON over tungstenite.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use fanfare_auth::{Action, Anonymous, Auth, Grant, Issuer, KeySource, MintRequest, Pattern, Secret};
use fanfare_bus::{Bus, Enter, Hub, HubOptions, LocalBroker, Policies, PolicyOptions, PresenceOptions, PresencePolicy};
use fanfare_cluster::{Handle as Cluster, MemoryLeases, NodeInfo};
use fanfare_consumer::MemoryCursors;
use fanfare_gateway_ws::Options;
use fanfare_history::Log;
use fanfare_history::memory::{self, MemoryLog};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Data, Draft, Duration, EventId, SystemClock, Tenant, Timestamp, Topic, UserId};
use fanfare_presence::memory::MemoryPresence;
use fanfare_session::quota::{self, Quotas};
use fanfare_session::{Hooks, Node, Registry};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::stuck::StuckLog;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
    router: axum::Router,
}

/// The cookie in which tests may show a token.
pub(crate) const COOKIE: &str = "__Host-fanfare";

impl Drop for TestNode {
    fn drop(&mut self) {
        self.node.life.stop();
    }
}

/// What a test may choose.
#[derive(Default)]
pub(crate) struct Choices {
    pub(crate) ws: Options,
    pub(crate) session: fanfare_session::Options,
    pub(crate) hub: HubOptions,
    pub(crate) anonymous: bool,
    /// Nothing that is published is ever stored or refused.
    pub(crate) stuck: bool,
    pub(crate) quotas: quota::Options,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
}

/// Topics of the kinds `chat`, with presence, and `room`, in which one is by listening.
fn policies() -> Arc<Policies> {
    let presence = |enter| {
        let flush = Duration::from_millis(5);
        PresenceOptions::With(PresencePolicy { enter, flush, ..PresencePolicy::default() })
    };
    let kind = |enter| PolicyOptions {
        client_publish: Some(true),
        presence: Some(presence(enter)),
        ..PolicyOptions::default()
    };
    let kinds = [("chat", Enter::Explicit), ("room", Enter::OnSubscribe)];
    Arc::new(Policies::new(&kinds.map(|(name, enter)| (name.to_owned(), kind(enter))).into()))
}

fn auth(choices: &Choices, clock: &Arc<dyn Clock>) -> Auth {
    let secret = Secret::new("3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5");
    let issuer = Issuer { keys: vec![KeySource { secret: Some(secret), ..KeySource::default() }], ..Issuer::default() };
    let anonymous = choices.anonymous.then(|| Anonymous {
        grants: vec![Grant { topics: vec![Pattern::parse("open:*").unwrap()], allow: vec![Action::Subscribe] }],
        ..Anonymous::default()
    });
    let options = fanfare_auth::Options {
        issuers: [("app".to_owned(), issuer)].into(),
        anonymous,
        cookie: Some(COOKIE.to_owned()),
        ..Default::default()
    };
    Auth::new(options, Arc::clone(clock)).unwrap()
}

/// A node that runs on the runtime of its test.
fn start(choices: Choices) -> Node {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let auth = auth(&choices, &clock);
    let policies = policies();
    let hub = Hub::new(choices.hub, Arc::clone(&policies), 1);
    let memory = || MemoryLog::new(Arc::clone(&clock), Arc::clone(&hub) as _, memory::Options::default());
    let log: Arc<dyn Log> = if choices.stuck { Arc::new(StuckLog(memory())) } else { Arc::new(memory()) };
    let bus = Bus::new(Arc::clone(&hub), Arc::new(LocalBroker::new(log, Arc::new(memory()), policies)));
    let life = Lifecycle::new();
    life.started();
    let options = fanfare_presence::Options::default();
    let node = NodeInfo::new("test", Vec::new(), Timestamp::default(), "0").unwrap();
    let cluster = Cluster::new(Arc::new(MemoryLeases::new()), bus.clone(), node, fanfare_cluster::Options::default());
    let presence = fanfare_presence::Handle::new(
        Arc::new(MemoryPresence::new()),
        bus.clone(),
        &cluster,
        Arc::clone(&clock),
        options,
    );
    cluster.start(&life);
    presence.start(&life);
    let options = fanfare_consumer::Options::default();
    let engine = Arc::new(MemoryCursors::new(options.consumers_max));
    let consumers = fanfare_consumer::Handle::new(engine, bus.clone(), Arc::clone(&clock), options);
    let sessions = Registry::new(choices.session.clone(), Arc::clone(&clock));
    sessions.start(&life, &auth);
    let quotas = Quotas::new(choices.quotas, Arc::clone(&clock));
    let (options, hooks) = (Arc::new(choices.session), choices.hooks);
    let node = Node { auth, bus, presence, cluster, consumers, sessions, quotas, hooks, options, clock, life };
    node.start_worker();
    node
}

pub(crate) async fn node(choices: Choices) -> TestNode {
    let ws = Arc::new(choices.ws.clone());
    let node = start(choices);
    let life = node.life.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fanfare_gateway_ws::router(node.clone(), ws);
    let test = TestNode { node, address, router: router.clone() };
    let accepting = life.clone();
    life.spawn(TaskKind::Background, "accept", async move {
        let stop = accepting.hard().clone();
        let accept = async {
            while let Ok((stream, peer)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone().layer(axum::Extension(ConnectInfo(peer))));
                accepting.spawn(TaskKind::Connection, "http", async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                });
            }
        };
        tokio::select! { () = accept => {} () = stop.cancelled() => {} }
    });
    test
}

impl TestNode {
    /// A token that may do everything with `chat:*` and `room:*`, and listen to `news`.
    pub(crate) fn token(&self, user: &str) -> String {
        self.token_for(user, &["chat:*", "room:*", "news"])
    }

    pub(crate) fn token_for(&self, user: &str, topics: &[&str]) -> String {
        self.token_to(user, topics, &[Action::Subscribe, Action::Publish, Action::History, Action::Presence])
    }

    /// A token that may do `allow` with `topics`.
    pub(crate) fn token_to(&self, user: &str, topics: &[&str], allow: &[Action]) -> String {
        self.mint(user, topics, allow, MintRequest::default())
    }

    /// The same, otherwise as `request` says.
    pub(crate) fn mint(&self, user: &str, topics: &[&str], allow: &[Action], request: MintRequest) -> String {
        let topics = topics.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let grant = Grant { topics, allow: allow.to_vec() };
        let user = Some(UserId::new(user).unwrap());
        self.node.auth.mint(MintRequest { user, grants: vec![grant], ..request }).unwrap()
    }

    pub(crate) async fn publish(&self, topic: &str, ids: impl IntoIterator<Item = String>) {
        let draft =
            |id: String| Draft { id: EventId::new(id).unwrap(), ..Draft::new(Data::json(r#"{"n":1}"#).unwrap()) };
        let batch = ids.into_iter().map(|id| (Topic::new(topic).unwrap(), draft(id))).collect();
        for answer in self.node.bus.publish(&Tenant::default(), batch).await.unwrap() {
            answer.unwrap();
        }
    }

    /// A WebSocket that has said nothing yet.
    pub(crate) async fn open(&self) -> Peer {
        self.try_open(&[]).await.unwrap()
    }

    pub(crate) async fn try_open(&self, headers: &[(&'static str, &str)]) -> Result<Peer, tungstenite::Error> {
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = client_async(request, stream).await?;
        Ok(Peer { socket })
    }

    /// A WebSocket over a stream that is no socket, as TLS is none.
    pub(crate) async fn open_over_pipe(&self) -> Peer<DuplexStream> {
        let (client, server) = tokio::io::duplex(4096);
        let service = TowerToHyperService::new(self.router.clone());
        self.node.life.spawn(TaskKind::Connection, "http", async move {
            let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
            drop(server.with_upgrades().await);
        });
        let (socket, _) = client_async("ws://push.example/v1/ws", client).await.unwrap();
        Peer { socket }
    }

    /// A connected client.
    pub(crate) async fn connect(&self, user: &str) -> Peer {
        self.connect_with(&self.token(user)).await.0
    }

    /// A client that is connected with `token`, and what it was told.
    pub(crate) async fn connect_with(&self, token: &str) -> (Peer, Value) {
        let mut peer = self.open().await;
        let reply = peer.ask("connect", json!({"token": token})).await;
        let connected = reply.get("connected").unwrap_or_else(|| panic!("not connected: {reply}")).clone();
        (peer, connected)
    }

    /// Waits until so many sessions are left.
    pub(crate) async fn sessions_are(&self, count: usize) {
        let reached = async {
            while self.node.sessions.len() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the number of sessions");
    }
}

pub(crate) struct Peer<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// The next message of any kind.
    pub(crate) async fn any_message(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
        message.expect("a message before the end").unwrap()
    }

    /// The next message that is not one of the server's pings, which may come at any time.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            match self.any_message().await {
                Message::Ping(_) => {}
                Message::Text(text) if text.as_str() == r#"{"ping":{}}"# => {}
                other => return other,
            }
        }
    }

    /// The next thing said, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Sends a command and returns its reply, which must be the next thing said.
    pub(crate) async fn ask(&mut self, command: &str, body: Value) -> Value {
        self.send(json!({"id": 7, command: body}).to_string()).await;
        let reply = self.next().await;
        assert_eq!(reply["id"], 7, "{reply}");
        reply
    }

    /// The next `count` events, by offset and id.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut events = Vec::new();
        while events.len() < count {
            let said = self.next().await;
            let event = said.get("event").unwrap_or_else(|| panic!("not an event: {said}"));
            events.push((event["offset"].as_u64().unwrap(), event["id"].as_str().unwrap().to_owned()));
        }
        events
    }

    /// Expects `disconnect` and then the close frame, and returns both codes and the disconnect.
    pub(crate) async fn disconnected(&mut self) -> (u16, Value) {
        let said = self.next().await;
        let disconnect = said.get("disconnect").unwrap_or_else(|| panic!("not a disconnect: {said}")).clone();
        let code = self.closed().await;
        assert_eq!(disconnect["code"], code);
        (code, disconnect)
    }

    /// The code of the close frame, which must be the next message.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self.message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not a close: {other:?}"),
        }
    }
}
