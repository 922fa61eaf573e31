//! A node on a memory log behind a real listener, and clients made with tonic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use fanfare_auth::{Action, Anonymous, Auth, Door, Grant, Issuer, KeySource, MintRequest, Pattern, Secret};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies, PolicyOptions};
use fanfare_cluster::{Handle as Cluster, MemoryLeases, NodeInfo};
use fanfare_gateway_grpc::{Doors, Options};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Data, Draft, EventId, SystemClock, Tenant, Timestamp, Topic, UserId};
use fanfare_proto::v1::client_frame::Command;
use fanfare_proto::v1::events_client::EventsClient;
use fanfare_proto::v1::server_frame::What;
use fanfare_proto::v1::session_client::SessionClient;
use fanfare_proto::v1::{self, ClientFrame, ServerFrame, SubscribeRequest};
use fanfare_session::quota::{self, Quotas};
use fanfare_session::{Node, Registry};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.node.life.stop();
    }
}

/// What a test may choose.
#[derive(Default)]
pub(crate) struct Choices {
    pub(crate) grpc: Options,
    pub(crate) session: fanfare_session::Options,
    pub(crate) hub: HubOptions,
    pub(crate) limits: quota::Options,
    pub(crate) anonymous: bool,
}

fn policies() -> Policies {
    let of = |json: &str| serde_json::from_str::<PolicyOptions>(json).unwrap();
    Policies::new(&BTreeMap::from([
        ("chat".to_owned(), of(r#"{"client_publish":true,"presence":true,"history":{"max_events":0,"max_age":"0s"}}"#)),
        ("few".to_owned(), of(r#"{"history":{"max_events":3,"max_age":"0s"}}"#)),
        ("passing".to_owned(), of(r#"{"history":"none"}"#)),
        ("small".to_owned(), of(r#"{"event_bytes_max":"1KiB"}"#)),
    ]))
}

pub(crate) async fn node(choices: Choices) -> TestNode {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let policies = Arc::new(policies());
    let hub = Hub::new(choices.hub, Arc::clone(&policies), 1);
    let memory = || Arc::new(MemoryLog::new(Arc::clone(&clock), Arc::clone(&hub) as _, memory::Options::default()));
    let bus = Bus::new(Arc::clone(&hub), Arc::new(LocalBroker::new(memory(), memory(), policies)));
    let life = Lifecycle::new();
    life.started();
    bus.start_worker(&life);
    let secret = Secret::new("3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5");
    let issuer = Issuer { keys: vec![KeySource { secret: Some(secret), ..KeySource::default() }], ..Issuer::default() };
    let anonymous = choices.anonymous.then(|| Anonymous {
        grants: vec![Grant { topics: vec![Pattern::parse("open:*").unwrap()], allow: vec![Action::Subscribe] }],
        ..Anonymous::default()
    });
    let options =
        fanfare_auth::Options { issuers: [("app".to_owned(), issuer)].into(), anonymous, ..Default::default() };
    let auth = Auth::new(options, Arc::clone(&clock)).unwrap();
    let sessions = Registry::new(choices.session.clone(), Arc::clone(&clock));
    let node = NodeInfo::new("test", Vec::new(), Timestamp::default(), "0").unwrap();
    let cluster = Cluster::new(Arc::new(MemoryLeases::new()), bus.clone(), node, fanfare_cluster::Options::default());
    let presence = fanfare_presence::Handle::new(
        Arc::new(fanfare_presence::memory::MemoryPresence::new()),
        bus.clone(),
        &cluster,
        Arc::clone(&clock),
        fanfare_presence::Options::default(),
    );
    let consumers = fanfare_consumer::Handle::new(
        Arc::new(fanfare_consumer::MemoryCursors::new(1000)),
        bus.clone(),
        Arc::clone(&clock),
        fanfare_consumer::Options::default(),
    );
    cluster.start(&life);
    presence.start(&life);
    consumers.start(&life);
    sessions.start(&life, &auth);
    sessions.start_worker(&life);
    let quotas = Quotas::new(choices.limits, Arc::clone(&clock));
    let options = Arc::new(choices.session);
    let node = Node {
        auth,
        bus,
        sessions,
        presence,
        cluster,
        consumers,
        quotas,
        hooks: None,
        options,
        clock,
        life: life.clone(),
    };
    let router = fanfare_gateway_grpc::router(node.clone(), Arc::new(choices.grpc), Doors::All);
    // What others do with methods that a path does not have must not get in the way of preflights.
    let router = router.method_not_allowed_fallback(|| async { http::StatusCode::IM_A_TEAPOT });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    life.spawn(TaskKind::Background, "accept", accept(life.clone(), listener, router));
    TestNode { node, address }
}

async fn accept(life: Lifecycle, listener: TcpListener, router: axum::Router) {
    let accepting = async {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone().layer(axum::Extension(ConnectInfo(peer))));
            life.spawn(TaskKind::Connection, "http", async move {
                let server = auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    };
    tokio::select! { () = accepting => {} () = life.hard().cancelled() => {} }
}

impl TestNode {
    /// A connection whose client takes little ahead.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.initial_stream_window_size(65_535).connect().await.unwrap()
    }

    pub(crate) async fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel().await)
    }

    /// A token of a client that may do everything with `chat:*` and `few:*`, and listen to `news`.
    pub(crate) fn token(&self, user: &str) -> String {
        self.token_for(Door::Client, Some(user), &["chat:*", "few:*", "news"], &Action::ALL)
    }

    /// A token of a backend that may do everything.
    pub(crate) fn server(&self) -> String {
        self.token_for(Door::Server, None, &["*"], &Action::ALL)
    }

    pub(crate) fn token_for(&self, door: Door, user: Option<&str>, topics: &[&str], allow: &[Action]) -> String {
        let topics = topics.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let grants = vec![Grant { topics, allow: allow.to_vec() }];
        let user = user.map(|user| UserId::new(user).unwrap());
        self.node.auth.mint(MintRequest { door, user, grants, ..MintRequest::default() }).unwrap()
    }

    /// Publishes events with these ids, which are their data too.
    pub(crate) async fn publish(&self, topic: &str, ids: impl IntoIterator<Item = String>) {
        let draft = |id: String| Draft { id: EventId::new(&id).unwrap(), ..Draft::new(Data::text(id)) };
        let batch = ids.into_iter().map(|id| (Topic::new(topic).unwrap(), draft(id))).collect();
        for answer in self.node.bus.publish(&Tenant::default(), batch).await.unwrap() {
            answer.unwrap();
        }
    }

    /// Publishes one event.
    pub(crate) async fn publish_text(&self, topic: &str, id: &str, text: &str) {
        let draft = Draft { id: EventId::new(id).unwrap(), ..Draft::new(Data::text(text)) };
        let batch = vec![(Topic::new(topic).unwrap(), draft)];
        self.node.bus.publish(&Tenant::default(), batch).await.unwrap().remove(0).unwrap();
    }

    /// Subscribes, and passes over `connected`.
    pub(crate) async fn subscribe(&self, token: &str, request: SubscribeRequest) -> Result<Frames, Status> {
        let frames = self.events().await.subscribe(with_token(request, token)).await?.into_inner();
        let mut frames = Frames { requests: None, frames };
        match frames.next().await {
            What::Connected(_) => Ok(frames),
            other => panic!("{other:?}"),
        }
    }

    /// A session that has said nothing yet.
    pub(crate) async fn open(&self) -> Frames {
        self.open_with(None).await.unwrap()
    }

    pub(crate) async fn open_with(&self, token: Option<&str>) -> Result<Frames, Status> {
        let (requests, inbox) = mpsc::channel(64);
        let stream = ReceiverStream::new(inbox);
        let request = match token {
            Some(token) => with_token(stream, token),
            None => Request::new(stream),
        };
        let frames = SessionClient::new(self.channel().await).open(request).await?.into_inner();
        Ok(Frames { requests: Some(requests), frames })
    }

    /// A connected session.
    pub(crate) async fn connect(&self, user: &str) -> Frames {
        let mut frames = self.open().await;
        match frames.ask(connect(&self.token(user))).await {
            What::Connected(connected) => assert_eq!(connected.user, user),
            other => panic!("{other:?}"),
        }
        frames
    }

    /// Waits until so many sessions are left.
    pub(crate) async fn sessions_are(&self, count: usize) {
        let reached = async {
            while self.node.sessions.len() != count {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await;
        assert!(in_time.is_ok(), "{} sessions, not {count}", self.node.sessions.len());
    }
}

pub(crate) fn connect(token: &str) -> Command {
    Command::Connect(v1::Connect { token: token.to_owned(), ..v1::Connect::default() })
}

pub(crate) fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[expect(clippy::unnecessary_wraps, reason = "the form in which requests have it")]
pub(crate) fn from(text: &str) -> Option<v1::From> {
    Some(v1::From { start: Some(v1::from::Start::Text(text.to_owned())) })
}

/// A request for topics, all from one place.
pub(crate) fn topics(names: &[&str], begin: &str) -> SubscribeRequest {
    let topics = names.iter().map(|topic| v1::TopicFrom { topic: (*topic).to_owned(), from: None }).collect();
    SubscribeRequest { topics, from: from(begin), ..SubscribeRequest::default() }
}

pub(crate) fn text(text: &str) -> v1::Message {
    v1::Message { data: Some(v1::message::Data::Text(text.to_owned())), ..v1::Message::default() }
}

pub(crate) fn item(topic: &str, message: v1::Message) -> v1::PublishItem {
    v1::PublishItem { topic: topic.to_owned(), message: Some(message) }
}

/// What a status says, and its code in `ErrorInfo`.
pub(crate) fn details(status: &Status) -> (Code, String, ErrorDetails) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo")), details)
}

/// Checks the status of a call and its code in `ErrorInfo`.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(done: Result<T, Status>, code: Code, reason: &str) -> ErrorDetails {
    let status = done.expect_err("a refusal");
    let (found, why, details) = details(&status);
    assert_eq!((found, why.as_str()), (code, reason), "{status:?}");
    details
}

/// A stream of frames, one way or both.
#[derive(Debug)]
pub(crate) struct Frames {
    requests: Option<mpsc::Sender<ClientFrame>>,
    frames: Streaming<ServerFrame>,
}

impl Frames {
    pub(crate) async fn send(&mut self, id: u64, command: Option<Command>) {
        self.requests.as_ref().unwrap().send(ClientFrame { id, command }).await.unwrap();
    }

    /// The client says nothing more.
    pub(crate) fn half_close(&mut self) {
        self.requests = None;
    }

    /// The next frame that is no ping, or how the stream ended.
    pub(crate) async fn frame(&mut self) -> Result<Option<ServerFrame>, Status> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.frames.message()).await.expect("in time");
            match next {
                Ok(Some(frame)) if matches!(frame.what, Some(What::Ping(_))) => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn next(&mut self) -> What {
        self.frame().await.unwrap().expect("the stream goes on").what.expect("a frame says something")
    }

    /// The next event, passing over what comes before it.
    pub(crate) async fn event(&mut self) -> v1::Event {
        loop {
            if let What::Event(event) = self.next().await {
                return event;
            }
        }
    }

    /// The ids of the next events.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.id);
        }
        ids
    }

    /// Sends a command and waits for its reply; what comes before it must be nothing but events and resume tokens.
    pub(crate) async fn ask(&mut self, command: Command) -> What {
        const ID: u64 = 77;
        self.send(ID, Some(command)).await;
        loop {
            let frame = self.frame().await.unwrap().expect("a reply");
            match (frame.id, frame.what.unwrap()) {
                (ID, what) => return what,
                (0, What::Event(_) | What::Resume(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn subscribe_to(&mut self, topic: &str, begin: &str) -> v1::Subscribed {
        let subscribe = v1::Subscribe { topic: topic.to_owned(), from: from(begin), ..v1::Subscribe::default() };
        match self.ask(Command::Subscribe(subscribe)).await {
            What::Subscribed(subscribed) => subscribed,
            other => panic!("{other:?}"),
        }
    }

    /// Becomes a member of a topic.
    pub(crate) async fn enter(&mut self, topic: &str, data: &str) {
        let act = v1::presence_command::Act::Enter(v1::PresenceEnter { data: json(data) });
        let command = Command::Presence(v1::PresenceCommand { topic: topic.to_owned(), act: Some(act) });
        match self.ask(command).await {
            What::Presence(state) => assert!(state.rev > 0),
            other => panic!("{other:?}"),
        }
    }

    /// The verdict and the status that the stream ends with; what comes before is passed over.
    pub(crate) async fn end(&mut self) -> (Option<v1::Disconnect>, Status) {
        let mut verdict = None;
        loop {
            match self.frame().await {
                Ok(Some(frame)) => {
                    if let Some(What::Disconnect(disconnect)) = frame.what {
                        verdict = Some(disconnect);
                    }
                }
                Ok(None) => return (verdict, Status::new(Code::Ok, "")),
                Err(status) => return (verdict, status),
            }
        }
    }
}

pub(crate) fn numbers(range: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn json(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
