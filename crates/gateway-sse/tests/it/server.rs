//! A node with one worker, and clients of its router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use fanfare_auth::{Auth, Grant, Issuer, KeySource, MintRequest, Secret};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies};
use fanfare_gateway_sse::{ConnectionAbort, Door, Options};
use fanfare_history::memory::{MemoryLog, Options as MemoryOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, EventId, ManualClock, Position, Tenant, Timestamp, Topic, UserId};
use fanfare_session::{Node, Registry};
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

/// Topics of the kind `short` keep three events.
pub(crate) fn server_with(options: Options, session: fanfare_session::Options) -> Server {
    options.validate().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let short = serde_json::from_str(r#"{"history":{"max_events":3}}"#).unwrap();
    let policies = Arc::new(Policies::new(&BTreeMap::from([("short".to_owned(), short)])));
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
    let node = Node { auth, bus, sessions, options: Arc::new(session), clock: clock_of_node, life };
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
        ..fanfare_auth::Options::default()
    }
}

impl Server {
    /// A token that may do everything, of a user.
    pub(crate) fn token(&self, user: &str) -> String {
        let request = MintRequest {
            user: Some(UserId::new(user).unwrap()),
            grants: vec![Grant::everything()],
            ..MintRequest::default()
        };
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
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = format!("/v1/sse?{query}").parse().unwrap();
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
        Client { head, body, bytes: Vec::new() }
    }
}

/// Who reads an answer.
pub(crate) struct Client {
    pub(crate) head: http::response::Parts,
    body: Body,
    bytes: Vec<u8>,
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
