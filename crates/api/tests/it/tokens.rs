//! Revoking, blocking, tickets, and what the application tells sessions.

use fanfare_auth::{Action, Door, Grant};
use fanfare_model::{Clock as _, Topic};
use fanfare_session::{From, Nudge, Order};
use http::Method;
use serde_json::json;

use crate::admin::open;
use crate::support::{TestApi, grant};

#[tokio::test]
async fn a_revoked_token_is_refused_and_listed() {
    let api = TestApi::new();
    let token = api.mint(vec![Grant::everything()]);
    let id = token_id(&token);
    api.ask_as(&token, Method::GET, "/v1/topics").await.ok();
    let revoked = api.post_json("/v1/tokens/revoke", &json!({"token_id": id})).await.ok();
    assert_eq!(revoked, json!({"revoked": {"token_id": id}}));
    api.ask_as(&token, Method::GET, "/v1/topics").await.problem(401, "revoked");

    api.post_json("/v1/tokens/revoke", &json!({"user": "alice"})).await.ok();
    api.post_json("/v1/tokens/revoke", &json!({"block_user": "bob"})).await.ok();
    let mut seen = Vec::new();
    let mut path = "/v1/tokens/revocations?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.ok();
        seen.extend(page["revocations"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tokens/revocations?limit=2&after={next}");
    }
    let now = api.clock.now().as_micros();
    for before in [json!(1_763_719_000), json!("2025-11-21T09:56:40Z")] {
        let told = api.post_json("/v1/tokens/revoke", &json!({"user": "carol", "issued_before": before})).await.ok();
        assert_eq!(told, json!({"revoked": {"user": "carol", "issued_before": 1_763_719_000_000_000_i64}}), "{before}");
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().any(|one| one["user"] == "alice" && one["issued_before"] == now && one["at"] == now));
    assert!(seen.iter().any(|one| one["block_user"] == "bob" && one.get("until").is_none()), "{seen:?}");

    assert_eq!(api.post_json("/v1/tokens/unblock", &json!({"user": "bob"})).await.ok(), json!({"unblocked": "bob"}));
    api.post_json("/v1/tokens/unblock", &json!({"user": "bob"})).await.problem(404, "not_found");
}

/// The `jti` of a token.
fn token_id(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&base64_url(payload)).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

/// Decoded by hand: it is only a test.
fn base64_url(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}

#[tokio::test]
async fn what_is_revoked_must_be_clear() {
    let api = TestApi::new();
    for body in [
        json!({}),
        json!({"token_id": "x", "user": "y"}),
        json!({"issued_before": "2026-01-01T00:00:00Z"}),
        json!({"block_user": "x", "issued_before": "2026-01-01T00:00:00Z"}),
        json!({"user": "x", "issued_before": "soon"}),
        json!({"block_user": ""}),
        json!({"user": "x", "issued_before": 99_999_999_999_i64}),
        json!({"user": "x", "issued_before": [1]}),
        json!({"jti": "x"}),
    ] {
        api.post_json("/v1/tokens/revoke", &body).await.problem(400, "invalid_request");
    }
    let token = api.mint(grant("a", &Action::ALL));
    let json = [("content-type", "application/json")];
    for path in ["/v1/tokens/revoke", "/v1/tokens/unblock", "/v1/tickets"] {
        api.post_as(&token, path, &json, "{}").await.problem(403, "permission_denied");
    }
    api.ask_as(&token, Method::GET, "/v1/tokens/revocations").await.problem(403, "permission_denied");
}

#[tokio::test]
async fn a_ticket_lets_a_client_in_once() {
    let api = TestApi::new();
    let asked = json!({"user": "alice", "topics": ["orders:42", "inbox:{user}"], "origin": "https://app.example"});
    let made = api.post_json("/v1/tickets", &asked).await;
    assert_eq!((made.status.as_u16(), &made.headers["cache-control"]), (201, &"no-store".parse().unwrap()));
    let made = made.ok();
    let ticket = made["ticket"].as_str().unwrap();
    assert!(ticket.starts_with("ft1.") && made["expires_in"] == 30);
    let auth = &api.node.auth;
    let principal = auth.redeem(Door::Client, ticket, Some("https://app.example")).unwrap();
    let may = |topic: &str| principal.may(Action::Subscribe, &Topic::new(topic).unwrap());
    assert_eq!((may("orders:42"), may("inbox:alice"), may("inbox:bob")), (true, true, false));
    assert!(auth.redeem(Door::Client, ticket, Some("https://app.example")).is_err());
    for bad in [json!({"topics": []}), json!({"topics": ["a*b"]}), json!({"topics": ["a"], "user": ""}), json!({})] {
        api.post_json("/v1/tickets", &bad).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn sessions_are_told_what_to_receive() {
    let api = TestApi::new();
    let (alice, bob) = (open(&api, "alice"), open(&api, "bob"));
    let id = alice.info().id;
    let asked = json!({"topics": ["chat:1", "chat:2"], "from": "last:5"});
    assert_eq!(api.post_json(&format!("/v1/sessions/{id}/subscribe"), &asked).await.ok(), json!({"sessions": 1}));
    assert_eq!(alice.nudged().await, Nudge::Orders);
    let topic = |name: &str| Topic::new(name).unwrap();
    let subscribe = |name: &str| Order::Subscribe { topic: topic(name), from: From::Last(5) };
    assert_eq!(alice.take_orders(), [subscribe("chat:1"), subscribe("chat:2")]);

    let asked = json!({"topics": ["chat:1"]});
    assert_eq!(api.post_json("/v1/users/bob/unsubscribe", &asked).await.ok(), json!({"sessions": 1}));
    assert_eq!(bob.take_orders(), [Order::Unsubscribe { topic: topic("chat:1") }]);
    assert_eq!(api.post_json("/v1/users/carol/subscribe", &asked).await.ok(), json!({"sessions": 0}));
    api.post_json("/v1/sessions/unknown/unsubscribe", &asked).await.problem(404, "not_found");
    for (body, at) in [
        (json!({"topics": []}), "/topics"),
        (json!({"topics": ["a", "a b"]}), "/topics/1"),
        (json!({"topics": ["a"], "from": "later"}), "/from"),
    ] {
        let problem = api.post_json("/v1/users/bob/subscribe", &body).await.problem(400, "invalid_request");
        assert_eq!(problem["at"], at);
    }
    let ended = api.post(&format!("/v1/sessions/{id}/disconnect"), &[], "").await.ok();
    assert_eq!(ended, json!({"disconnected": 1}));
    assert_eq!(api.post("/v1/users/bob/disconnect", &[], "").await.ok(), json!({"disconnected": 1}));
    let token = api.mint(grant("chat:*", &Action::ALL));
    let json = [("content-type", "application/json")];
    for path in ["/v1/sessions/x/subscribe", "/v1/users/x/unsubscribe", "/v1/users/x/disconnect"] {
        api.post_as(&token, path, &json, "{}").await.problem(403, "permission_denied");
    }
}
