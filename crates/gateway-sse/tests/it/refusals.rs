//! What is refused, and how.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use fanfare_gateway_sse::Options;
use fanfare_session::problem::CONTENT_TYPE;
use http::{Method, Response};

use crate::server::{Server, json, server, server_with};

/// The status and the code of a problem.
async fn problem(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
    let body = json(response).await;
    assert_eq!(body["status"], status);
    let code = body["code"].as_str().unwrap().to_owned();
    assert_eq!(body["type"], format!("urn:fanfare:error:{code}"));
    (status, code)
}

fn many(topics: usize) -> String {
    let topics: Vec<_> = (0..topics).map(|n| format!("topic=t:{n}")).collect();
    topics.join("&")
}

#[tokio::test(start_paused = true)]
async fn case_13_requests_that_are_wrong() {
    let server = server();
    for query in [
        "",
        "topic=",
        "topic=a%0ab",
        "topic=a%ff",
        "topic=a&from=later",
        "topic=a&from=k3J9.17",
        "topic=a&topic=b&from=k3J9.17.0x7",
        "topic=a&envelope=maybe",
        &many(101),
    ] {
        let got = problem(server.get(query).send().await).await;
        assert_eq!(got, (400, "invalid_request".to_owned()), "{query}");
    }
    // Not even to somebody who needs none.
    let in_url = server.ask(Method::GET, "topic=open:1&token=x.y.z").send().await;
    assert_eq!(problem(in_url).await, (400, "invalid_request".to_owned()));
    drop(server.get(&many(100)).open().await);
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_of_another_kind() {
    let server = server();
    let html = server.get("topic=a").header("accept", "text/html").send().await;
    assert_eq!(problem(html).await, (406, "not_acceptable".to_owned()));
    let deleted = server.get("topic=a").method(Method::DELETE).send().await;
    assert_eq!(deleted.headers()["allow"], "GET, HEAD, POST, QUERY, OPTIONS");
    assert_eq!(problem(deleted).await, (405, "method_not_allowed".to_owned()));
    let post = |media_type, body: Body| server.get("topic=a").method(Method::POST).body(media_type, body).send();
    assert_eq!(problem(post("text/plain", "a".into()).await).await, (415, "unsupported_media_type".to_owned()));
    assert_eq!(problem(post("application/json", "{".into()).await).await.0, 400);
    assert_eq!(problem(post("application/json", vec![b' '; 70_000].into()).await).await, (413, "too_large".to_owned()));
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends() {
    let server = server();
    let body = Body::new(Endless);
    let response = server.get("topic=a").method(Method::POST).body("application/json", body).send().await;
    assert_eq!(problem(response).await, (408, "timeout".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn case_19_who_are_you() {
    let server = server();
    let challenge = async |authorization: &str| {
        let response = server.ask(Method::GET, "topic=a").header("authorization", authorization).send().await;
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let (status, code) = problem(response).await;
        assert_eq!(status, 401, "{authorization}: {code}");
        challenge
    };
    assert!(challenge("Bearer x").await.contains("error=\"invalid_token\""));
    assert!(challenge("Basic eDp5").await.contains("error=\"invalid_token\""));
    let (head, tail) = {
        let token = server.token("alice");
        let at = token.rfind('.').unwrap() + 1;
        (token[..at].to_owned(), token[at..].chars().rev().collect::<String>())
    };
    assert!(challenge(&format!("Bearer {head}{tail}")).await.contains("error=\"invalid_token\""));
    assert_eq!(challenge("Bearer ").await, "Bearer realm=\"fanfare\"");
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_19_may_you() {
    let server = server();
    // Anybody may listen to `open:1`, but not to `a`: the whole request is refused, and names the topic.
    let response = server.ask(Method::GET, "topic=open:1&topic=a").send().await;
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    let body = json(response).await;
    assert_eq!(
        (&body["status"], &body["code"], &body["topic"]),
        (&403.into(), &"permission_denied".into(), &"a".into())
    );
    let back = server.ask(Method::GET, "topic=open:1&from=start").send().await;
    assert_eq!(problem(back).await, (403, "permission_denied".to_owned()));
    let head = server.ask(Method::HEAD, "topic=a").send().await;
    assert_eq!(head.status(), 403);
    drop(server.ask(Method::GET, "topic=open:1").open().await);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_url_where_it_is_allowed() {
    let options = Options { token_in_query: true, ..Options::default() };
    let server = server_with(options, fanfare_session::Options::default());
    let token = server.token("alice");
    drop(server.ask(Method::GET, &format!("topic=a&token={token}")).open().await);
    assert_eq!(server.ask(Method::GET, "topic=a&token=x").send().await.status(), 401);
}

fn full_server() -> Server {
    let session = fanfare_session::Options { sessions_max: 1, ..fanfare_session::Options::default() };
    server_with(Options::default(), session)
}

#[tokio::test(start_paused = true)]
async fn case_38_no_room_is_told_in_a_stream_to_who_sees_no_status() {
    let server = full_server();
    let _taken = server.get("topic=a").open().await;
    let mut times = Vec::new();
    for _ in 0..8 {
        let mut client = server.ask(Method::GET, "topic=open:1").header("accept", "text/event-stream").open().await;
        let text = client.rest().await;
        let events = crate::parser::parse(text.as_bytes());
        assert_eq!((events.len(), events[0].event.as_str()), (1, "fanfare.disconnect"), "{text}");
        let data: serde_json::Value = serde_json::from_str(&events[0].data).unwrap();
        assert_eq!((&data["reason"], &data["reconnect"]), (&"overloaded".into(), &true.into()));
        let retry: u64 = text.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap().parse().unwrap();
        assert!((5_000..=30_000).contains(&retry), "{retry}");
        assert_eq!(data["retry_after_ms"], retry);
        times.push(retry);
    }
    assert!(times.iter().any(|time| *time != times[0]), "all come back together: {times:?}");
    assert_eq!(server.node.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_38_no_room_is_a_status_to_who_can_see_it() {
    let server = full_server();
    let _taken = server.get("topic=a").open().await;
    for response in [
        server.get("topic=a").send().await,
        server.ask(Method::GET, "topic=open:1&reject=status").send().await,
        server.ask(Method::GET, "topic=open:1").header("accept", "application/x-ndjson").send().await,
        server.ask(Method::POST, "topic=open:1").send().await,
    ] {
        let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((5..=30).contains(&seconds), "{seconds}");
        assert_eq!(problem(response).await, (503, "overloaded".to_owned()));
    }
    let session = fanfare_session::Options { sessions_per_user_max: 1, ..fanfare_session::Options::default() };
    let server = server_with(Options::default(), session);
    let _taken = server.get("topic=a").open().await;
    assert_eq!(problem(server.get("topic=a").send().await).await, (429, "rate_limited".to_owned()));
}
