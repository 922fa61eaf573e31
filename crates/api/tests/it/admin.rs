//! Topics, sessions and API keys.

use std::sync::Arc;

use fanfare_auth::{Action, Door, Grant};
use fanfare_model::{Clock as _, SessionId};
use fanfare_session::{Goodbye, Nudge, Protocol, Session, SessionInfo};
use http::Method;
use serde_json::{Value, json};

use crate::support::{TestApi, grant};

#[tokio::test]
async fn a_topic_shows_its_head_and_policy() {
    let api = TestApi::new();
    let positions = api.publish_numbers("few:1", 5).await;
    let topic = api.get("/v1/topics/few:1").await.ok();
    assert_eq!(topic["topic"], "few:1");
    assert_eq!(topic["head"]["position"], positions[4]);
    assert_eq!((&topic["head"]["first"], &topic["head"]["events"]), (&json!(3), &json!(3)));
    assert_eq!(topic["head"]["time"], 1_763_719_205_000_000_i64);
    assert_eq!(
        topic["policy"],
        json!({"history": true, "max_events": 3, "durability": "committed", "idempotency_window": "5m",
            "client_publish": false, "on_slow": "replay", "event_bytes_max": "1MiB"})
    );
    assert_eq!(api.get("/v1/topics/passing").await.ok()["policy"]["history"], false);
}

#[tokio::test]
async fn topics_are_listed_in_pages_and_only_to_who_may_see_them() {
    let api = TestApi::new();
    for n in 1..=5 {
        api.publish_numbers(&format!("chat:{n}"), 1).await;
        api.publish_numbers(&format!("news:{n}"), 1).await;
    }
    let names = |page: &Value| -> Vec<String> {
        page["topics"].as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap().to_owned()).collect()
    };
    let page = api.get("/v1/topics?prefix=news:&limit=2").await.ok();
    assert_eq!((names(&page), &page["next"]), (vec!["news:1".to_owned(), "news:2".to_owned()], &json!("news:2")));
    let page = api.get("/v1/topics?prefix=news:&limit=3&after=news:2").await.ok();
    assert_eq!((names(&page).len(), &page["more"], &page["next"]), (3, &json!(false), &Value::Null));

    let token = api.mint(grant("news:*", &[Action::History]));
    let mut path = "/v1/topics?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = api.ask_as(&token, Method::GET, &path).await.ok();
        seen.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/topics?limit=2&after={next}");
    }
    assert_eq!(seen, ["news:1", "news:2", "news:3", "news:4", "news:5"]);
}

#[tokio::test]
async fn purge_and_truncate_need_admin() {
    let api = TestApi::new();
    let positions = api.publish_numbers("a", 5).await;
    let token = api.mint(grant("a", &[Action::Publish, Action::History]));
    api.ask_as(&token, Method::DELETE, "/v1/topics/a/events").await.problem(403, "permission_denied");
    let left = api.delete("/v1/topics/a/events?before=4").await.ok();
    assert_eq!((&left["head"]["first"], &left["head"]["events"]), (&json!(4), &json!(2)));
    assert_eq!(left["head"]["position"], positions[4], "the epoch stays");
    let left = api.delete("/v1/topics/a/events").await.ok();
    assert_eq!((&left["head"]["offset"], &left["head"]["events"]), (&json!(0), &json!(0)));
    assert_ne!(left["head"]["position"].as_str().unwrap().split('.').next(), positions[4].split('.').next());
    api.delete("/v1/topics/a/events?befor=4").await.problem(400, "invalid_request");
}

pub(crate) fn open(api: &TestApi, user: &str) -> Session {
    let request = fanfare_auth::MintRequest {
        user: Some(user.parse().unwrap()),
        grants: vec![Grant::everything()],
        ..fanfare_auth::MintRequest::default()
    };
    let token = api.node.auth.mint(request).unwrap();
    let principal = Arc::new(api.node.auth.authenticate(Door::Client, &token).unwrap());
    let info = SessionInfo {
        id: SessionId::generate(),
        tenant: principal.tenant.clone(),
        user: principal.user.clone(),
        protocol: Protocol::WebSocket,
        connected_at: api.clock.now(),
        expires_at: principal.expires_at,
        address: Some("192.0.2.7".parse().unwrap()),
        client: Some(Arc::from("web/1")),
    };
    api.node.sessions.register(info, principal).unwrap()
}

#[tokio::test]
async fn nodes_are_listed() {
    let api = TestApi::new();
    let _sessions = (open(&api, "alice"), open(&api, "bob"));
    let own = api.node.cluster.node();
    assert_eq!(
        api.get("/v1/nodes").await.ok(),
        json!({"nodes": [{
            "id": own.id.as_str(), "name": "test", "roles": [], "version": "0", "since": own.started, "sessions": 2,
        }]})
    );
    let token = api.mint(grant("chat:*", &Action::ALL));
    api.ask_as(&token, Method::GET, "/v1/nodes").await.problem(403, "permission_denied");
}

/// A second node on the same leases, which cannot be reached: answers say that one is missing.
#[tokio::test(start_paused = true)]
async fn answers_say_how_many_nodes_they_are_of() {
    use fanfare_cluster::{Handle as Cluster, NodeInfo, Options};

    let api = TestApi::new();
    let alice = open(&api, "alice");
    let other = NodeInfo::new("other", Vec::new(), api.clock.now(), "0").unwrap();
    let life = fanfare_lifecycle::Lifecycle::new();
    // It hears nothing: the bus of this test walks no readers.
    Cluster::new(Arc::clone(api.node.cluster.leases()), api.node.bus.clone(), other, Options::default()).start(&life);
    while api.node.cluster.look().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let count = api.get("/v1/sessions/count").await.ok();
    assert_eq!(count, json!({"count": 1, "nodes": 1, "silent": 1}));
    let listed = api.get("/v1/sessions").await.ok();
    assert_eq!((&listed["nodes"], &listed["silent"]), (&json!(1), &json!(1)));
    assert_eq!(listed["sessions"][0]["node"], api.node.cluster.id().as_str());
    // It may be there.
    api.delete("/v1/sessions/nobody").await.problem(503, "unavailable");
    let ended = api.delete(&format!("/v1/sessions/{}", alice.info().id)).await.ok();
    assert_eq!(ended, json!({"disconnected": 1, "nodes": 1, "silent": 1}));
    let nodes = api.get("/v1/nodes").await.ok();
    assert_eq!((&nodes["nodes"][0]["name"], &nodes["nodes"][0]["sessions"]), (&json!("other"), &json!(null)));
    life.stop();
}

#[tokio::test]
async fn sessions_are_listed_counted_and_ended() {
    let api = TestApi::new();
    let (alice, alice2, bob) = (open(&api, "alice"), open(&api, "alice"), open(&api, "bob"));
    assert_eq!(api.get("/v1/sessions/count").await.ok(), json!({"count": 3}));
    assert_eq!(api.get("/v1/sessions/count?user=alice").await.ok(), json!({"count": 2}));

    let page = api.get("/v1/sessions?user=bob").await.ok();
    let info = bob.info();
    assert_eq!(
        page,
        json!({"total": 1, "more": false, "sessions": [{
            "id": info.id, "user": "bob", "protocol": "websocket", "connected_at": info.connected_at,
            "expires_at": info.expires_at, "address": "192.0.2.7", "client": "web/1",
        }]})
    );
    let mut path = "/v1/sessions?limit=2".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = api.get(&path).await.ok();
        ids.extend(page["sessions"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/sessions?limit=2&after={next}");
    }
    assert_eq!(ids.len(), 3);

    assert_eq!(api.delete(&format!("/v1/sessions/{}", info.id)).await.ok(), json!({"disconnected": 1}));
    assert_eq!(bob.nudged().await, Nudge::End(Goodbye::Disconnected));
    assert_eq!(api.delete("/v1/users/alice/sessions").await.ok(), json!({"disconnected": 2}));
    assert_eq!(alice.nudged().await, Nudge::End(Goodbye::Disconnected));
    assert_eq!(alice2.nudged().await, Nudge::End(Goodbye::Disconnected));
    drop((alice, alice2, bob));
    api.delete(&format!("/v1/sessions/{}", info.id)).await.problem(404, "not_found");
    assert_eq!(api.delete("/v1/users/alice/sessions").await.ok(), json!({"disconnected": 0}));

    let token = api.mint(grant("chat:*", &Action::ALL));
    for path in ["/v1/sessions", "/v1/sessions/count", "/v1/keys"] {
        api.ask_as(&token, Method::GET, path).await.problem(403, "permission_denied");
    }
    for path in ["/v1/sessions/x", "/v1/users/x/sessions", "/v1/keys/x"] {
        api.ask_as(&token, Method::DELETE, path).await.problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked() {
    let api = TestApi::new();
    let asked = json!({"name": "shop", "grants": [{"topics": ["orders:*"], "allow": ["publish"]}]});
    let made = api.post_json("/v1/keys", &asked).await;
    assert_eq!(
        (made.status.as_u16(), &made.headers["cache-control"]),
        (201, &http::HeaderValue::from_static("no-store"))
    );
    let made = made.ok();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    api.post_as(secret, "/v1/topics/orders:1/events", &[], "x").await.ok();
    api.post_as(secret, "/v1/topics/news/events", &[], "x").await.problem(403, "permission_denied");
    let listed = api.get("/v1/keys").await;
    assert!(!listed.text.contains(secret.rsplit('_').next().unwrap()), "the secret is shown once");
    assert_eq!((&listed.ok()["keys"][0]["id"], &listed.ok()["keys"][0]["name"]), (&json!(id), &json!("shop")));

    assert_eq!(api.delete(&format!("/v1/keys/{id}")).await.ok(), json!({"revoked": id}));
    api.post_as(secret, "/v1/topics/orders:1/events", &[], "x").await.problem(401, "revoked");
    assert!(api.get("/v1/keys").await.ok()["keys"][0]["revoked_at"].is_i64());
    api.delete("/v1/keys/unknown").await.problem(404, "not_found");
    api.post_json("/v1/keys", &json!({"id": id, "grants": []})).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_key_that_is_asked_for_wrongly_is_refused() {
    let api = TestApi::new();
    for (body, code, part) in [
        ("{", "invalid_json", "not valid JSON at line 1, column 1"),
        ("{}", "invalid_request", "missing field `grants`"),
        (r#"{"grants":[{"topics":["a*"],"allow":["publish"]}]}"#, "invalid_request", "line 1 column"),
        (r#"{"grants":[],"id":"a b"}"#, "invalid_request", "id is"),
        (r#"{"grants":[],"expires_at":"soon"}"#, "invalid_request", "expires_at: time is neither"),
        (r#"{"grants":[],"expires_at":"2020-01-01T00:00:00Z"}"#, "invalid_request", "in the past"),
        (r#"{"grants":[],"tenant":"other"}"#, "invalid_request", "unknown field `tenant`"),
    ] {
        let answer = api.post("/v1/keys", &[("content-type", "application/json")], body).await;
        let problem = answer.problem(400, code);
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body}: {problem}");
    }
}
