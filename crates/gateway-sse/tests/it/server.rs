//! A node with one worker, and clients of its router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use fanfare_auth::{Auth, Grant, Issuer, KeySource, MintRequest, Secret};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies};
use fanfare_cluster::{Handle as Cluster, MemoryLeases, NodeInfo};
use fanfare_gateway_sse::{ConnectionAbort, Door, Options};
use fanfare_history::memory::{MemoryLog, Options as MemoryOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, EventId, ManualClock, Position, Tenant, Timestamp, Topic, UserId};
use fanfare_presence as presence;
use fanfare_session::quota::Quotas;
use fanfare_session::{Hooks, Node, Registry};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::parser::{Parsed, parse};

/// Longer than anything takes. Tests run on a paused clock, so that waiting for what never comes fails at once.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) door: Door,
    pub(crate) node: Node,
    pub(crate) clock: Arc<ManualClock>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.node.life.stop();
    }
}

/// A server with the defaults.
pub(crate) fn server() -> Server {
    server_with(Options::default(), fanfare_session::Options::default())
}

/// Topics of the kind `short` keep three events; those of the kind `chat` have presence, and who listens to one of the
/// kind `room` is in it.
pub(crate) fn server_with(options: Options, session: fanfare_session::Options) -> Server {
    server_among(options, session, Others::default())
}

/// Who has a say besides tokens.
#[derive(Default)]
pub(crate) struct Others {
    /// Limits of users, tenants and addresses.
    pub(crate) limits: fanfare_session::quota::Options,
    /// The application.
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
}

/// Where others have a say.
pub(crate) fn server_among(options: Options, session: fanfare_session::Options, others: Others) -> Server {
    let Others { limits, hooks } = others;
    options.validate().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let policies = serde_json::json!({
        "short": {"history": {"max_events": 3}},
        "chat": {"presence": {"flush": "1ms"}},
        "room": {"presence": {"enter": "on_subscribe", "flush": "1ms"}},
    });
    let policies = Arc::new(Policies::new(&serde_json::from_value(policies).unwrap()));
    let hub = Hub::new(HubOptions { ring_events_max: 8, ..HubOptions::default() }, Arc::clone(&policies), 1);
    let log = || Arc::new(MemoryLog::new(Arc::clone(&clock) as _, Arc::clone(&hub) as _, MemoryOptions::default()));
    let broker = LocalBroker::new(log(), log(), policies);
    let bus = Bus::new(Arc::clone(&hub), Arc::new(broker));
    let auth = Auth::new(auth_options(), Arc::clone(&clock) as _).unwrap();
    let sessions = Registry::new(session.clone(), Arc::clone(&clock) as _);
    let life = Lifecycle::new();
    life.started();
    bus.start_worker(&life);
    sessions.start(&life, &auth);
    sessions.start_worker(&life);
    let clock_of_node = Arc::clone(&clock) as _;
    let node = NodeInfo::new("test", Vec::new(), Timestamp::default(), "0").unwrap();
    let cluster = Cluster::new(Arc::new(MemoryLeases::new()), bus.clone(), node, fanfare_cluster::Options::default());
    let presence = presence::Handle::new(
        Arc::new(presence::memory::MemoryPresence::new()),
        bus.clone(),
        &cluster,
        Arc::clone(&clock) as _,
        presence::Options::default(),
    );
    cluster.start(&life);
    presence.start(&life);
    let consumers = fanfare_consumer::Handle::new(
        Arc::new(fanfare_consumer::MemoryCursors::new(10)),
        bus.clone(),
        Arc::clone(&clock) as _,
        fanfare_consumer::Options::default(),
    );
    let quotas = Quotas::new(limits, Arc::clone(&clock) as _);
    let options_of_sessions = Arc::new(session);
    let node = Node {
        auth,
        bus,
        presence,
        cluster,
        consumers,
        sessions,
        quotas,
        hooks,
        options: options_of_sessions,
        clock: clock_of_node,
        life,
    };
    let door = Door::open(node.clone(), Arc::new(options));
    Server { router: door.router(), door, node, clock }
}

/// Anybody may listen to `open:*`, without going back.
fn auth_options() -> fanfare_auth::Options {
    let secret = Some(Secret::new("3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5"));
    let issuer = Issuer { keys: vec![KeySource { secret, ..KeySource::default() }], ..Issuer::default() };
    let anonymous = r#"{"grants":[{"topics":["open:*"],"allow":["subscribe"]}]}"#;
    fanfare_auth::Options {
        issuers: BTreeMap::from([("test".to_owned(), issuer)]),
        anonymous: Some(serde_json::from_str(anonymous).unwrap()),
        cookie: Some("__Host-fanfare".to_owned()),
        ..fanfare_auth::Options::default()
    }
}

impl Server {
    /// A token that may do everything, of a user.
    pub(crate) fn token(&self, user: &str) -> String {
        self.mint(MintRequest {
            user: Some(UserId::new(user).unwrap()),
            grants: vec![Grant::everything()],
            ..MintRequest::default()
        })
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.node.clock.now()
    }

    pub(crate) fn mint(&self, request: MintRequest) -> String {
        self.node.auth.mint(request).unwrap()
    }

    /// Publishes texts and says where they are.
    pub(crate) async fn publish(&self, topic: &str, texts: &[&str]) -> Vec<Position> {
        let drafts = texts.iter().map(|text| Draft::new(Data::text(*text))).collect();
        self.publish_drafts(topic, drafts).await
    }

    pub(crate) async fn publish_numbers(&self, topic: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<Position> {
        let draft = |n: u32| {
            let id = EventId::new(format!("{topic}/{n}")).unwrap();
            Draft { id, ..Draft::new(Data::text(n.to_string())) }
        };
        self.publish_drafts(topic, numbers.map(draft).collect()).await
    }

    pub(crate) async fn publish_drafts(&self, topic: &str, drafts: Vec<Draft>) -> Vec<Position> {
        let topic = Topic::new(topic).unwrap();
        let batch = drafts.into_iter().map(|draft| (topic.clone(), draft)).collect();
        let answers = self.node.bus.publish(&Tenant::default(), batch).await.unwrap();
        answers.into_iter().map(|answer| answer.unwrap().position).collect()
    }

    /// A request with a token that may do everything.
    pub(crate) fn get(&self, query: &str) -> Ask<'_> {
        self.ask(Method::GET, query).header("authorization", format!("Bearer {}", self.token("alice")))
    }

    /// A request of somebody who says nothing about themselves.
    pub(crate) fn ask(&self, method: Method, query: &str) -> Ask<'_> {
        self.ask_at(method, &format!("/v1/sse?{query}"))
    }

    /// The same for another path.
    pub(crate) fn ask_at(&self, method: Method, path: &str) -> Ask<'_> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        Ask { server: self, request }
    }
}

/// A request in the making.
pub(crate) struct Ask<'a> {
    server: &'a Server,
    request: Request<Body>,
}

impl Ask<'_> {
    pub(crate) fn method(mut self, method: Method) -> Self {
        *self.request.method_mut() = method;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.request.headers_mut().insert(name, http::HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    pub(crate) fn body(mut self, media_type: &'static str, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self.header("content-type", media_type)
    }

    pub(crate) fn abort(mut self, abort: ConnectionAbort) -> Self {
        self.request.extensions_mut().insert(abort);
        self
    }

    pub(crate) async fn send(self) -> Response<Body> {
        within(self.server.router.clone().oneshot(self.request)).await.unwrap()
    }

    /// Opens a stream.
    pub(crate) async fn open(self) -> Client {
        let response = self.send().await;
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        let (head, body) = response.into_parts();
        Client { head, body, bytes: Vec::new(), taken: 0 }
    }
}

impl<'a> Ask<'a> {
    /// As `user`, who may do everything.
    pub(crate) fn by(self, user: &str) -> Ask<'a> {
        let token = self.server.token(user);
        self.bearer(&token)
    }

    pub(crate) fn bearer(self, token: &str) -> Ask<'a> {
        self.header("authorization", format!("Bearer {token}"))
    }
}

/// Who reads an answer.
pub(crate) struct Client {
    pub(crate) head: http::response::Parts,
    body: Body,
    bytes: Vec<u8>,
    /// How many events were given out by name.
    taken: usize,
}

impl Client {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The next bytes as they were handed out; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let frame = within(self.body.frame()).await?.unwrap().into_data().unwrap();
        self.bytes.extend_from_slice(&frame);
        Some(frame)
    }

    /// Everything so far, once there are `n` events.
    pub(crate) async fn events(&mut self, n: usize) -> Vec<Parsed> {
        loop {
            let events = parse(&self.bytes);
            if events.len() >= n {
                assert_eq!(events.len(), n, "more than asked for: {events:?}");
                return events;
            }
            let so_far = events.len();
            assert!(self.frame().await.is_some(), "the stream ended after {so_far} events");
        }
    }

    /// The data of the next event of this name that was not asked for yet, as JSON.
    pub(crate) async fn next(&mut self, name: &str) -> serde_json::Value {
        loop {
            let events = parse(&self.bytes);
            let found = events.into_iter().filter(|event| event.event == name).nth(self.taken);
            if let Some(event) = found {
                self.taken += 1;
                return serde_json::from_str(&event.data).unwrap();
            }
            assert!(self.frame().await.is_some(), "the stream ended without another {name}: {}", self.text());
        }
    }

    /// As lines of JSON, once there are `n`.
    pub(crate) async fn lines(&mut self, n: usize) -> Vec<serde_json::Value> {
        while self.text().lines().count() < n {
            assert!(self.frame().await.is_some(), "the stream ended");
        }
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// Everything until the end.
    pub(crate) async fn rest(&mut self) -> String {
        while self.frame().await.is_some() {}
        self.text().to_owned()
    }

    pub(crate) async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.rest().await).unwrap()
    }
}

/// The JSON of an answer.
pub(crate) async fn json(response: Response<Body>) -> serde_json::Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// The data of events that are not about the stream.
pub(crate) fn data(events: &[Parsed]) -> Vec<&str> {
    events.iter().filter(|event| !event.event.starts_with("fanfare.")).map(|event| event.data.as_str()).collect()
}
