//! An API over a log in memory, and requests to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use fanfare_api::Options;
use fanfare_auth::{Action, Auth, Door, Grant, Issuer, KeySource, MintRequest, Pattern, Secret};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies, PolicyOptions};
use fanfare_cluster::{Handle as Cluster, MemoryLeases, NodeInfo};
use fanfare_history::Log;
use fanfare_history::memory::MemoryLog;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{ManualClock, Timestamp, UserId};
use fanfare_session::quota::Quotas;
use fanfare_session::{Node, Registry};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) struct TestApi {
    pub(crate) router: Router,
    pub(crate) node: Node,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: Arc<dyn Log>,
    token: String,
    _keys: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The body of a 2xx.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        self.json()
    }

    /// The body of a complete problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status.as_u16(), &body["code"]), (status, &json!(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:fanfare:error:{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string(), "{}", self.text);
        body
    }
}

impl TestApi {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::limited(options, fanfare_session::quota::Options::default())
    }

    /// With limits of users, tenants and addresses.
    pub(crate) fn limited(options: Options, limits: fanfare_session::quota::Options) -> Self {
        let policies: BTreeMap<String, PolicyOptions> = serde_json::from_value(json!({
            "few": {"history": {"max_events": 3, "max_age": "0s"}},
            "passing": {"history": "none"},
            "small": {"event_bytes_max": "1KiB"},
            "chat": {"presence": true},
            "strict": {"payload": {"schemas": {"*": {"type": "object", "required": ["total"]}}}},
        }))
        .unwrap();
        let policies = Arc::new(Policies::new(&policies));
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_763_719_200)));
        let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
        let log = || {
            let options = fanfare_history::memory::Options::default();
            Arc::new(MemoryLog::new(Arc::clone(&clock) as _, Arc::clone(&hub) as _, options))
        };
        let kept = log();
        let broker = LocalBroker::new(Arc::clone(&kept) as _, log(), policies);
        let bus = Bus::new(Arc::clone(&hub), Arc::new(broker));
        let keys = tempfile::tempdir().unwrap();
        let secret = Some(Secret::new("a secret of the tests that has more than 32 bytes"));
        let issuer = Issuer { keys: vec![KeySource { secret, ..KeySource::default() }], ..Issuer::default() };
        let auth = fanfare_auth::Options {
            issuers: [("test".to_owned(), issuer)].into(),
            api_keys_file: Some(keys.path().join("keys.json")),
            ..fanfare_auth::Options::default()
        };
        let auth = Auth::new(auth, Arc::clone(&clock) as _).unwrap();
        let session_options = fanfare_session::Options::default();
        let node = NodeInfo::new("test", Vec::new(), Timestamp::default(), "0").unwrap();
        let cluster =
            Cluster::new(Arc::new(MemoryLeases::new()), bus.clone(), node, fanfare_cluster::Options::default());
        let presence = fanfare_presence::Handle::new(
            Arc::new(fanfare_presence::memory::MemoryPresence::new()),
            bus.clone(),
            &cluster,
            Arc::clone(&clock) as _,
            fanfare_presence::Options::default(),
        );
        let consumers = fanfare_consumer::Handle::new(
            Arc::new(fanfare_consumer::MemoryCursors::new(1000)),
            bus.clone(),
            Arc::clone(&clock) as _,
            fanfare_consumer::Options::default(),
        );
        let node = Node {
            auth,
            bus,
            presence,
            cluster,
            consumers,
            quotas: Quotas::new(limits, Arc::clone(&clock) as _),
            hooks: None,
            sessions: Registry::new(session_options.clone(), Arc::clone(&clock) as _),
            options: Arc::new(session_options),
            clock: Arc::clone(&clock) as _,
            life: Lifecycle::new(),
        };
        let router = fanfare_api::router(node.clone(), Arc::new(options), fanfare_api::Document::with(&[]))
            .merge(fanfare_api::health_router(node.clone()))
            .merge(fanfare_api::metrics_router(Arc::new(|| "fanfare_up 1\n".to_owned())));
        let router = fanfare_api::with_fallbacks(router);
        let mut api = Self { router, node, clock, log: kept, token: String::new(), _keys: keys };
        api.token = api.mint(vec![Grant::everything()]);
        api
    }

    /// A token for server doors.
    pub(crate) fn mint(&self, grants: Vec<Grant>) -> String {
        self.mint_for(Door::Server, grants)
    }

    pub(crate) fn mint_for(&self, door: Door, grants: Vec<Grant>) -> String {
        let user = Some(UserId::new("backend").unwrap());
        self.node.auth.mint(MintRequest { door, user, grants, ..MintRequest::default() }).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// A request with the token that may do everything.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Answer {
        self.ask_as(&self.token, method, path).await
    }

    pub(crate) async fn ask_as(&self, token: &str, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path).await
    }

    /// A POST of `body` with these headers.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.post_as(&self.token, path, headers, body).await
    }

    pub(crate) async fn post_as(
        &self,
        token: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::post(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn put_json(&self, path: &str, body: &Value) -> Answer {
        let request = Request::put(path).header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    pub(crate) async fn publish(&self, body: &Value) -> Answer {
        self.post_json("/v1/publish", body).await
    }

    /// Publishes the numbers `1..=n`, a second apart; their positions.
    pub(crate) async fn publish_numbers(&self, topic: &str, n: u64) -> Vec<String> {
        let mut positions = Vec::new();
        for number in 1..=n {
            self.clock.advance(std::time::Duration::from_secs(1));
            let answer = self.publish(&json!({"topic": topic, "message": {"data": number}})).await.ok();
            positions.push(answer["results"][0]["position"].as_str().unwrap().to_owned());
        }
        positions
    }
}

pub(crate) fn grant(pattern: &str, allow: &[Action]) -> Vec<Grant> {
    vec![Grant { topics: vec![Pattern::parse(pattern).unwrap()], allow: allow.to_vec() }]
}

/// The data of each event of a page, as numbers.
pub(crate) fn numbers(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"].as_u64().unwrap()).collect()
}
