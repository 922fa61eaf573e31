//! The opening handshake: what is let in, and who.

use fanfare_tests::token::Token;
use fanfare_tests::ws::{self, PATH, SUBPROTOCOL};
use fanfare_tests::{Config, Request, Response, Server, within};

fn upgrade() -> Vec<(&'static str, &'static str)> {
    vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
}

async fn send(server: &Server, method: &str, headers: &[(&str, &str)]) -> Response {
    let request =
        headers.iter().fold(Request::new(method, PATH), |request, (name, value)| request.header(name, *value));
    within("an answer", request.send(server.public())).await.expect("the server answers")
}

#[tokio::test]
async fn origins() {
    let config = Config::new().production();
    let server =
        Server::start(config.clone().ws("allowed_origins = [\"https://app.example\", \"http://b.example:8080\"]"))
            .await;
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://app.example:443", true),
        ("HTTPS://APP.EXAMPLE", true),
        ("http://b.example:8080", true),
        ("http://app.example", false),
        ("https://app.example:8443", false),
        ("https://app.example.evil.example", false),
        ("https://evil-app.example", false),
        ("https://sub.app.example", false),
        ("https://app.example/", false),
        ("https://app.example@evil.example", false),
        ("http://b.example", false),
        ("null", false),
        ("", false),
        ("https://", false),
        ("file://", false),
        ("*", false),
        ("https://app.example, https://evil.example", false),
        ("https://аpp.example", false),
        ("https://app.example.", false),
    ] {
        let mut headers = upgrade();
        headers.push(("Origin", origin));
        let status = send(&server, "GET", &headers).await.status;
        assert_eq!(status, if allowed { 101 } else { 403 }, "{origin:?}");
    }
    assert_eq!(send(&server, "GET", &upgrade()).await.status, 101, "no Origin: not a browser");
    let mut twice = upgrade();
    twice.extend([("Origin", "https://app.example"), ("Origin", "https://evil.example")]);
    assert_eq!(send(&server, "GET", &twice).await.status, 403);

    let same_host = Server::start(config).await;
    for (origin, allowed) in [("http://localhost", true), ("http://localhost:99", false), ("http://127.0.0.1", false)] {
        let mut headers = upgrade();
        headers.push(("Origin", origin));
        let status = send(&same_host, "GET", &headers).await.status;
        assert_eq!(status, if allowed { 101 } else { 403 }, "{origin:?}");
    }
}

#[tokio::test]
async fn requests_that_are_no_handshake() {
    let server = Server::start(Config::new()).await;
    let without = |name: &str| -> Vec<_> { upgrade().into_iter().filter(|(header, _)| *header != name).collect() };
    let with = |name: &'static str, value: &'static str| -> Vec<_> {
        let mut headers = without(name);
        headers.push((name, value));
        headers
    };
    for (method, headers, status) in [
        ("GET", without("Upgrade"), 426),
        ("GET", without("Connection"), 426),
        ("GET", with("Upgrade", "h2c"), 426),
        ("GET", without("Sec-WebSocket-Version"), 426),
        ("GET", with("Sec-WebSocket-Version", "8"), 426),
        ("GET", without("Sec-WebSocket-Key"), 400),
        ("GET", with("Sec-WebSocket-Key", "short"), 400),
        ("GET", with("Sec-WebSocket-Protocol", "graphql-ws"), 400),
        ("GET", with("Authorization", "Basic dTpw"), 400),
        ("GET", with("Authorization", "Bearer nonsense"), 401),
        ("POST", upgrade(), 426),
    ] {
        let response = send(&server, method, &headers).await;
        assert_eq!(response.status, status, "{method} {headers:?}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }
    let old =
        upgrade().into_iter().fold(Request::get(PATH).http10(), |request, (name, value)| request.header(name, value));
    assert_ne!(old.send(server.public()).await.expect("the server answers").status, 101, "HTTP/1.0");
}

#[tokio::test]
async fn subprotocols() {
    let server = Server::start(Config::new()).await;
    let (_, response) = ws::handshake(server.public(), &[]).await.expect("a handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    assert!(response.headers().get("sec-websocket-extensions").is_none(), "no compression was agreed on");
    let several = format!("other, {SUBPROTOCOL}, third");
    let (mut client, response) =
        ws::handshake(server.public(), &[("sec-websocket-protocol", &several)]).await.expect("a handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    let reply = client.request(serde_json::json!({"connect": {"token": Token::client().mint()}})).await;
    assert!(reply.get("connected").is_some(), "{reply}");
}

#[tokio::test]
async fn whoever_does_not_say_who_they_are_is_let_go() {
    let server = Server::start(Config::new().ws("connect_timeout = \"2s\"")).await;
    let (mut client, _) = ws::handshake(server.public(), &[]).await.expect("a handshake");
    let (frames, closed) = client.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (Some(3005), "silent"), "{frames:?}");
}
