//! How the server ends a session: the frame that says why, and the close code that says what to do.

use fanfare_tests::token::{self, Token};
use fanfare_tests::ws::{self, Closed};
use fanfare_tests::{Config, PATIENCE, Server, fresh_topic};
use serde_json::{Value, json};

/// The last frame must be a `disconnect` that fits the close code; gives its content.
fn goodbye(frames: &[Value], closed: &Closed) -> Value {
    let goodbye = frames.last().unwrap_or_else(|| panic!("nothing before {closed:?}"))["disconnect"].clone();
    assert_eq!(goodbye["code"].as_u64().and_then(|code| u16::try_from(code).ok()), closed.code, "{frames:?}");
    assert_eq!(goodbye["reason"], closed.reason, "{goodbye} {closed:?}");
    let code = closed.code.expect("a code");
    assert_eq!(goodbye["reconnect"], json!((3000..4000).contains(&code)), "the code carries the verdict: {goodbye}");
    goodbye
}

#[tokio::test]
async fn bad_tokens_are_told_why_and_sent_away_for_good() {
    let server = Server::start(Config::new()).await;
    for (token, code, close) in [
        (json!("nonsense"), "malformed_token", 4001),
        (json!(Token::client().expires_in(-60).mint()), "expired", 4002),
        (json!(Token::server().mint()), "wrong_audience", 4001),
        (json!(null), "missing_credential", 4001),
    ] {
        let (mut client, _) = ws::handshake(server.public(), &[]).await.expect("a handshake");
        client.send(&json!({"id": 1, "connect": {"token": token}})).await.expect("open");
        let (frames, closed) = client.closed().await;
        assert_eq!((&frames[0]["id"], &frames[0]["error"]["code"]), (&1.into(), &code.into()), "{frames:?}");
        goodbye(&frames, &closed);
        assert_eq!(closed.code, Some(close), "{code}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let server = Server::start(Config::new()).await;
    let expiry = token::now() + 8;
    let mut client = ws::connect(server.public(), &Token::client().claim("exp", expiry.into()).mint()).await;
    let (frames, closed) = client.closed().await;
    // The leeway for clocks that differ, 30 s, is not for this; the rest is for a machine that stands still.
    assert!(token::now() < expiry + 20, "it ended {} s after the token", token::now() - expiry);
    assert_eq!((goodbye(&frames, &closed)["reason"].as_str(), closed.code), (Some("token_expired"), Some(4002)));
}

#[tokio::test]
async fn an_administrator_ends_one_session_or_all_of_a_user() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let mut alice = Vec::new();
    for _ in 0..3 {
        alice.push(ws::connect(server.public(), &Token::client().user("alice").mint()).await);
    }
    let mut bob = ws::connect(server.public(), &Token::client().user("bob").mint()).await;
    let listed = api.get("/v1/sessions?user=alice").await.ok();
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(3), "{listed}");

    let id = listed["sessions"][0]["id"].as_str().expect("an id");
    api.delete(&format!("/v1/sessions/{id}")).await.ok();
    api.delete("/v1/users/alice/sessions").await.ok();
    for client in &mut alice {
        let (frames, closed) = client.closed().await;
        assert_eq!(goodbye(&frames, &closed)["code"], 4004);
    }
    bob.subscribe("news", "now").await;
    api.delete("/v1/sessions/nobody").await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn whoever_sends_too_fast_is_warned_and_then_sent_away() {
    let server = Server::start(Config::new().ws("commands_per_second = 10").ws("commands_burst = 20")).await;
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    let flood: Vec<String> = (1..=100).map(|n| json!({"id": n, "ping": {}}).to_string()).collect();
    client.send_text(&flood.join("\n")).await.expect("open");
    let (frames, closed) = client.closed().await;
    assert!(frames.iter().any(|frame| frame["error"]["code"] == "rate_limited"), "{frames:?}");
    assert_eq!(goodbye(&frames, &closed)["code"], 4007);
}

#[tokio::test]
async fn malformed_commands_are_answered_and_do_no_harm() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("malformed");
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    client.subscribe(&topic, "now").await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for text in [
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "{\"id\":1}".to_owned(),
        "{\"id\":\"x\",\"ping\":{}}".to_owned(),
        "{\"id\":1e400,\"ping\":{}}".to_owned(),
        "{\"id\":1,\"id\":2,\"ping\":{}}".to_owned(),
        "{\"id\":1,\"ping\":{},\"subscribe\":{\"topic\":\"a\"}}".to_owned(),
        "{\"id\":1,\"nonsense\":{}}".to_owned(),
        "{\"id\":1,\"subscribe\":{}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":5}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":\"a\\u0000b\"}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":\"a\\nb\"}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":\"\\ud800\"}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":\"a\",\"from\":\"later\"}}".to_owned(),
        "{\"id\":1,\"subscribe\":{\"topic\":\"a\",\"from\":{\"last\":-1}}}".to_owned(),
        "{\"id\":1,\"publish\":{\"topic\":\"a\"}}".to_owned(),
        format!("{{\"id\":1,\"publish\":{{\"topic\":\"a\",\"data\":{deep}}}}}"),
        deep,
    ] {
        client.send_text(&text).await.expect("open");
        let frame = client.frame().await;
        assert_eq!(frame["error"]["code"], "invalid_request", "{text:.80}: {frame}");
    }
    server.api().publish_text(&topic, "still here").await;
    assert_eq!(client.event().await["data"], "still here");
}

#[tokio::test]
async fn the_number_of_subscriptions_is_bounded() {
    let server = Server::start(Config::new().session("subscriptions_max = 5")).await;
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    for n in 0..5 {
        client.subscribe(&format!("a:{n}"), "now").await;
    }
    client.refused(json!({"subscribe": {"topic": "a:5"}}), "rate_limited").await;
    client.request(json!({"unsubscribe": {"topic": "a:0"}})).await;
    client.subscribe("a:5", "now").await;
}

#[tokio::test]
async fn draining_sends_clients_away_to_come_back() {
    let mut server = Server::start(Config::new().drain_over(2)).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(ws::connect(server.public(), &Token::client().mint()).await);
    }
    server.terminate();
    for client in &mut clients {
        let (frames, closed) = client.closed().await;
        let goodbye = goodbye(&frames, &closed);
        assert_eq!(goodbye["code"], 3001, "{goodbye}");
        assert!(goodbye["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{goodbye}");
    }
    assert!(server.ended(PATIENCE).await.success());
}
