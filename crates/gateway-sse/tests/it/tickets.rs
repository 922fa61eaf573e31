//! Tickets and cookies: how a client comes in that can send no headers.

use fanfare_auth::{Action, Grant, MintRequest, Pattern};
use fanfare_gateway_sse::Options;
use http::Method;
use serde_json::{Value, json};

use crate::server::{Server, server, server_with};

/// What a page gets from its request for a ticket, which it makes with this token.
async fn ticket(server: &Server, origin: &'static str, body: &str) -> Value {
    let mut ask = server.ask_at(Method::POST, "/v1/sse/ticket").by("alice").header("host", "push.example");
    if !origin.is_empty() {
        ask = ask.header("origin", origin);
    }
    let response = ask.body("application/json", body.to_owned()).send().await;
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    crate::server::json(response).await
}

async fn code(response: http::Response<axum::body::Body>) -> (u16, String) {
    let status = response.status().as_u16();
    (status, crate::server::json(response).await["code"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn case_21_a_ticket_is_good_once() {
    let server = server();
    let made = ticket(&server, "", "").await;
    assert_eq!(made["expires_in"], 30);
    let query = format!("topic=a&ticket={}", made["ticket"].as_str().unwrap());
    let mut client = server.ask(Method::GET, &query).open().await;
    client.frame().await;
    server.publish("a", &["for alice"]).await;
    assert_eq!(crate::server::data(&client.events(1).await), ["for alice"]);
    let again = server.ask(Method::GET, &query).send().await;
    assert_eq!(code(again).await, (401, "unknown_ticket".to_owned()));

    let late = ticket(&server, "", "").await;
    server.clock.advance(std::time::Duration::from_secs(31));
    let query = format!("topic=a&ticket={}", late["ticket"].as_str().unwrap());
    assert_eq!(server.ask(Method::GET, &query).send().await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_for_its_page_and_its_topics() {
    let options = Options { allowed_origins: vec!["https://app.example".to_owned()], ..Options::default() };
    let server = server_with(options, fanfare_session::Options::default());
    let from = async |origin: &'static str, made: &Value| {
        let query = format!("topic=a&ticket={}", made["ticket"].as_str().unwrap());
        let mut ask = server.ask(Method::GET, &query).header("host", "push.example");
        if !origin.is_empty() {
            ask = ask.header("origin", origin);
        }
        ask.send().await.status().as_u16()
    };
    let foreign = async || ticket(&server, "https://app.example", r#"{"topics":["a"]}"#).await;
    assert_eq!(from("https://app.example", &foreign().await).await, 200);
    assert_eq!(from("https://evil.example", &foreign().await).await, 401);
    assert_eq!(from("", &foreign().await).await, 401);
    // A page of this host says its origin when it posts, and not when it opens a stream.
    assert_eq!(from("", &ticket(&server, "https://push.example", "").await).await, 200);
    assert_eq!(from("", &ticket(&server, "", r#"{"topics":["b","c:*"]}"#).await).await, 403);
}

#[tokio::test(start_paused = true)]
async fn tickets_are_made_for_credentials_only() {
    let server = server();
    let ask = |body: &'static str| server.ask_at(Method::POST, "/v1/sse/ticket").body("application/json", body);
    assert_eq!(code(ask("").send().await).await, (401, "missing_credential".to_owned()));
    for bad in ["{", r#"{"topic":"a"}"#, r#"{"topics":["a*b"]}"#] {
        assert_eq!(ask(bad).by("alice").send().await.status(), 400, "{bad}");
    }
    let got = server.ask_at(Method::GET, "/v1/sse/ticket").by("alice").send().await;
    assert_eq!((got.status().as_u16(), &got.headers()["allow"]), (405, &"POST, OPTIONS".parse().unwrap()));
    let preflight = server.ask_at(Method::OPTIONS, "/v1/sse/ticket").send().await;
    assert_eq!(preflight.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn case_23_a_cookie_counts_only_from_pages_that_may() {
    let options = Options { allowed_origins: vec!["https://app.example".to_owned()], ..Options::default() };
    let server = server_with(options, fanfare_session::Options::default());
    let cookie = format!("theme=dark; __Host-fanfare={}", server.token("alice"));
    let check = async |headers: &[(&'static str, &'static str)]| {
        let mut ask = server.ask(Method::GET, "topic=a").header("host", "push.example").header("cookie", &cookie);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask.send().await
    };
    for ours in [("origin", "https://app.example"), ("sec-fetch-site", "same-origin")] {
        assert_eq!(check(&[ours]).await.status(), 200, "{ours:?}");
    }
    for foreign in [&[("origin", "https://evil.example")][..], &[("sec-fetch-site", "cross-site")], &[]] {
        assert_eq!(code(check(foreign).await).await, (403, "origin_not_allowed".to_owned()), "{foreign:?}");
    }
    // What is said more deliberately counts more.
    let weak = MintRequest {
        grants: vec![Grant { topics: vec![Pattern::parse("b").unwrap()], allow: vec![Action::Subscribe] }],
        ..MintRequest::default()
    };
    let ask = server.ask(Method::GET, "topic=a").header("cookie", &cookie).header("sec-fetch-site", "same-origin");
    assert_eq!(ask.bearer(&server.mint(weak)).send().await.status(), 403);
}

#[tokio::test(start_paused = true)]
async fn case_20_a_topic_without_a_grant_is_never_delivered() {
    let server = server();
    let positions = server.publish_numbers("private:1", 1..=3).await;
    server.publish_numbers("open:1", 1..=3).await;
    // Neither live nor by a cursor that names it.
    let query = format!("topic=open:1&last_event_id={}", positions[0]);
    let mut client = server.ask(Method::GET, &query).open().await;
    client.frame().await;
    server.publish("private:1", &["secret"]).await;
    server.publish("open:1", &["open"]).await;
    while !client.text().contains("open\n") {
        client.frame().await;
    }
    assert!(!client.text().contains("secret"));
    let asked = server.ask(Method::GET, "topic=private:1&topic=open:1").send().await;
    assert_eq!((asked.status().as_u16(), crate::server::json(asked).await["topic"].clone()), (403, json!("private:1")));
}
