//! Negotiation, heads, and ways to ask.

use fanfare_gateway_sse::Options;
use http::Method;

use crate::server::{data, server, server_with};

#[tokio::test(start_paused = true)]
async fn cases_11_and_12_the_head_and_the_first_bytes() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        ("vary", "Origin, Accept"),
        ("fanfare-stream-state", "new"),
    ] {
        assert_eq!(client.header(name), value, "{name}");
    }
    assert_eq!(client.header("fanfare-session").len(), 32);
    let cursor: fanfare_model::Position = client.header("last-event-id").parse().unwrap();
    assert_eq!(cursor.offset, 0);
    assert!(client.head.headers.get("connection").is_none());
    assert_eq!(client.frame().await.unwrap(), ":\nretry: 3000\n");
    server.publish("a", &["1"]).await;
    assert_eq!(data(&client.events(1).await), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn lines_of_json() {
    let server = server();
    let mut client = server.get("topic=a").header("accept", "application/x-ndjson").open().await;
    assert_eq!(client.header("content-type"), "application/x-ndjson");
    let position = server.publish("a", &["x\u{2028}y"]).await[0].to_string();
    let lines = client.lines(2).await;
    assert_eq!(lines[0]["stream"]["state"], "new");
    assert_eq!(lines[0]["cursor"], client.header("last-event-id"));
    assert_eq!((&lines[1]["cursor"], &lines[1]["event"]["position"]), (&position.clone().into(), &position.into()));
    assert_eq!((&lines[1]["event"]["data"], &lines[1]["event"]["encoding"]), (&"x\u{2028}y".into(), &"text".into()));
}

#[tokio::test(start_paused = true)]
async fn an_envelope_tells_the_topic() {
    let server = server();
    let mut client = server.get("topic=a&topic=b&envelope=1").open().await;
    server.publish("b", &["x"]).await;
    let events = client.events(1).await;
    let envelope: serde_json::Value = serde_json::from_str(&events[0].data).unwrap();
    assert_eq!((&envelope["topic"], &envelope["data"]), (&"b".into(), &"x".into()));
}

#[tokio::test(start_paused = true)]
async fn case_15_query_and_body_are_united_and_duplicates_collapse() {
    let server = server();
    for (media_type, body) in [
        ("application/x-www-form-urlencoded", "topic=c&topic=a"),
        ("application/json; charset=utf-8", r#"{"topics":["c",{"topic":"a","from":"now"}]}"#),
    ] {
        for method in [Method::POST, Method::from_bytes(b"QUERY").unwrap()] {
            let mut client = server.get("topic=a&topic=b&topic=a").method(method).body(media_type, body).open().await;
            for topic in ["a", "b", "c"] {
                server.publish(topic, &[topic]).await;
            }
            assert_eq!(data(&client.events(3).await), ["a", "b", "c"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_16_preflights_and_origins() {
    let allowed_origins = vec!["https://app.example.com".to_owned()];
    let server = server_with(Options { allowed_origins, ..Options::default() }, fanfare_session::Options::default());
    let preflight = |origin: &'static str| {
        server
            .ask(Method::OPTIONS, "")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization,last-event-id")
            .send()
    };
    let ours = preflight("https://app.example.com").await;
    assert_eq!(ours.status(), 204);
    let header = |name: &str| ours.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(header("access-control-allow-headers"), Some("authorization,last-event-id,content-type,cache-control"));
    assert_eq!(header("access-control-max-age"), Some("7200"));
    assert_eq!(header("vary"), Some("Origin, Accept"));

    let foreign = preflight("https://app.example.com.evil.example").await;
    assert_eq!(foreign.status(), 204);
    assert!(foreign.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "{foreign:?}");

    let client = server.get("topic=a").header("origin", "https://app.example.com").open().await;
    assert_eq!(client.header("access-control-allow-credentials"), "true");
    assert!(client.header("access-control-expose-headers").contains("last-event-id"));
    let refused = server.get("").header("origin", "https://app.example.com").send().await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["access-control-allow-origin"], "https://app.example.com");
}

#[tokio::test(start_paused = true)]
async fn case_16_any_origin_never_comes_with_credentials() {
    let options = Options { allowed_origins: vec!["*".to_owned()], ..Options::default() };
    let server = server_with(options, fanfare_session::Options::default());
    let client = server.get("topic=a").header("origin", "https://anywhere.example").open().await;
    assert_eq!(client.header("access-control-allow-origin"), "*");
    assert_eq!(client.header("access-control-allow-credentials"), "");
}

#[tokio::test(start_paused = true)]
async fn case_17_head_opens_nothing() {
    let server = server();
    let mut client = server.get("topic=a").method(Method::HEAD).open().await;
    assert_eq!(client.header("content-type"), "text/event-stream");
    assert_eq!(client.rest().await, "");
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_listed_and_leaves_with_its_stream() {
    let server = server();
    let client = server.get("topic=a").header("user-agent", "test/1").open().await;
    let query = fanfare_session::Query { tenant: fanfare_model::Tenant::default(), user: None, after: None, limit: 10 };
    let page = server.node.sessions.list(&query);
    assert_eq!(page.sessions.len(), 1);
    assert_eq!(page.sessions[0].id.as_str(), client.header("fanfare-session"));
    assert_eq!(page.sessions[0].client.as_deref(), Some("test/1"));
    drop(client);
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_42_nothing_is_compressed_that_would_wait_for_more() {
    let server = server();
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let ask = server.get("topic=a").header("accept", accept).header("accept-encoding", "gzip, br, zstd");
        let mut client = ask.open().await;
        assert_eq!((client.header("content-encoding"), client.header("cache-control")), ("", "no-store, no-transform"));
        client.frame().await;
        server.publish("a", &["at once"]).await;
        assert!(client.frame().await.unwrap().windows(7).any(|bytes| bytes == b"at once"));
    }
}
