//! Cases 11–18: how a stream is asked for, and what answers that cannot be given look like.

use fanfare_tests::sse::{PATH, subscribe};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, H2Client, Request, Response, Server, fresh_topic, percent_encode, within};
use serde_json::Value;

async fn send(server: &Server, request: Request) -> Response {
    within("an answer", request.send(server.public())).await.expect("the server answers")
}

async fn problem(response: Response, status: u16, code: &str) {
    assert_eq!(response.status, status);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let body: Value = serde_json::from_str(&within("a body", response.text()).await.expect("a body")).expect("JSON");
    assert_eq!(body["code"], code, "{body}");
}

#[tokio::test]
async fn case_11_the_form_is_negotiated() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let token = Token::client().mint();
    let get = |accept: Option<&str>| {
        let request = Request::get(format!("{PATH}?topic={}", percent_encode(&topic))).bearer(&token);
        match accept {
            Some(accept) => request.header("Accept", accept),
            None => request,
        }
    };
    for accept in [None, Some("*/*"), Some("text/event-stream"), Some("text/html, */*;q=0.1"), Some("text/*")] {
        let response = send(&server, get(accept)).await;
        assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")), "{accept:?}");
    }
    problem(send(&server, get(Some("text/html"))).await, 406, "not_acceptable").await;

    let mut lines = send(&server, get(Some("application/x-ndjson"))).await;
    assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/x-ndjson")));
    server.api().publish_text(&topic, "a line").await;
    let mut text = String::new();
    while !text.contains("a line") {
        let chunk = within("a line", lines.chunk()).await.expect("not cut").expect("not ended");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    assert!(text.ends_with('\n'), "{text:?}");
    for line in text.lines().filter(|line| !line.is_empty()) {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        assert!(object.is_object(), "{line}");
    }
}

#[tokio::test]
async fn case_12_the_head_and_the_first_bytes() {
    // No heartbeat brings what should have come at once.
    let server = Server::start(Config::new().without_pings()).await;
    let topic = fresh_topic("case");
    let subscription = subscribe(server.public(), &[&topic]);
    let mut connection = H2Client::connect(server.public(), 65_535).await;
    let streams = [subscription.open().await, subscription.open_h2(&mut connection).await];
    for (version, mut stream) in ["HTTP/1.1", "HTTP/2"].into_iter().zip(streams) {
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store, no-transform"),
            ("x-accel-buffering", "no"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(stream.header(name), Some(value), "{name} on {version}");
        }
        let vary = stream.header("vary").unwrap_or_default().to_ascii_lowercase();
        assert!(vary.contains("origin") && vary.contains("accept"), "vary: {vary}");
        if version == "HTTP/2" {
            assert_eq!(stream.header("connection"), None);
        }
        stream.read_until("the first bytes, with no event published", |parser| parser.retry.is_some()).await;
        let text = std::str::from_utf8(stream.bytes()).expect("UTF-8");
        let retry = text.strip_prefix(":\nretry: ").and_then(|rest| rest.strip_suffix('\n'));
        assert!(retry.is_some_and(|ms| ms.parse::<u32>().is_ok()), "first bytes on {version}: {text:?}");
    }
}

#[tokio::test]
async fn case_13_requests_that_ask_for_nothing_or_for_too_much() {
    let server = Server::start(Config::new()).await;
    let token = Token::client().mint();
    let many: Vec<String> = (0..101).map(|n| format!("topic=case:{n}")).collect();
    for query in ["", "?topic=", "?topic=a%0Ab", "?topic=a%00b", "?topic=a%E2%80%AEb", "?topic=%FF", "?topic=a%20b"]
        .into_iter()
        .map(str::to_owned)
        .chain(["?topic=a&from=yesterday".to_owned(), format!("?{}", many.join("&"))])
    {
        let response = send(&server, Request::get(format!("{PATH}{query}")).bearer(&token)).await;
        let shown = &query[..query.len().min(40)];
        assert_eq!(
            (response.status, response.header("content-type")),
            (400, Some("application/problem+json")),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn case_14_long_lists_of_topics() {
    let server = Server::start(Config::new().sse("topics_max = 1000")).await;
    let token = Token::client().mint();
    let list = |bytes: usize| -> String {
        let topics = (0..).map(|n| format!("topic=case:{n:0>90}"));
        topics.take(bytes / 102).collect::<Vec<_>>().join("&")
    };
    let long = send(&server, Request::get(format!("{PATH}?{}", list(12 * 1024))).bearer(&token)).await;
    assert_eq!(long.status, 200);

    let too_long = send(&server, Request::get(format!("{PATH}?{}", list(64 * 1024))).bearer(&token)).await;
    assert!(matches!(too_long.status, 414 | 431), "{}", too_long.status);
    within("a clean end", too_long.text()).await.expect("the answer is complete");

    let body = list(64 * 1024);
    let post = Request::new("POST", PATH).bearer(&token).body("application/x-www-form-urlencoded", body);
    assert_eq!(send(&server, post).await.status, 200);
}

#[tokio::test]
async fn case_15_query_and_body_are_united_and_duplicates_collapse() {
    let server = Server::start(Config::new()).await;
    let [a, b, c] = ["a", "b", "c"].map(fresh_topic);
    let target =
        format!("{PATH}?topic={}&topic={}&topic={}", percent_encode(&a), percent_encode(&b), percent_encode(&a));
    let form = format!("topic={}", percent_encode(&c));
    let json = serde_json::json!({"topics": [c, a]}).to_string();
    for (content_type, body) in [("application/x-www-form-urlencoded", form), ("application/json", json)] {
        let request = Request::new("POST", target.as_str()).bearer(&Token::client().mint());
        let response = send(&server, request.body(content_type, body)).await;
        assert_eq!(response.status, 200, "{content_type}");
        let mut stream = fanfare_tests::sse::EventStream::of(response);
        for topic in [&a, &b, &c] {
            server.api().publish_text(topic, topic).await;
        }
        assert_eq!(stream.take(3).await, [a.as_str(), &b, &c], "{content_type}");
        server.api().publish_text(&a, "last").await;
        assert_eq!(stream.take(1).await, ["last"], "one delivery of each: {content_type}");
    }
}

#[tokio::test]
async fn case_16_preflights() {
    let origin = "https://app.example";
    let server = Server::start(Config::new().production().sse(&format!("allowed_origins = [\"{origin}\"]"))).await;
    let preflight = |origin: &str| {
        Request::new("OPTIONS", format!("{PATH}?topic=a"))
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "last-event-id,authorization")
    };
    let allowed = send(&server, preflight(origin)).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
    let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
    for name in ["last-event-id", "authorization", "content-type", "cache-control"] {
        assert!(headers.split(',').any(|header| header.trim() == name), "{name} in {headers}");
    }
    assert!(allowed.header("access-control-max-age").is_some());

    for foreign in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"] {
        let refused = send(&server, preflight(foreign)).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{foreign}");
    }

    let stream = subscribe(server.public(), &["a"]).header("Origin", origin).open().await;
    assert_eq!(stream.header("access-control-allow-origin"), Some(origin), "never `*` with credentials");
    assert_eq!(stream.header("access-control-allow-credentials"), Some("true"));
    let exposed = stream.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
    assert!(exposed.contains("last-event-id"), "{exposed}");
}

#[tokio::test]
async fn case_17_head_opens_nothing() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let before = api.metric("fanfare_sessions_opened_total", "sse").await;
    let head = subscribe(server.public(), &["case:head"]).request("HEAD");
    let response = send(&server, head).await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(within("the end", response.text()).await.expect("no body"), "");
    assert!((api.metric("fanfare_sessions_opened_total", "sse").await - before).abs() < 0.5);
    assert!(api.metric("fanfare_sessions", "sse").await < 0.5);
}

#[tokio::test]
async fn case_18_http_1_0_gets_a_body_that_ends_with_the_connection() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let response = send(&server, subscribe(server.public(), &[&topic]).request("GET").http10()).await;
    assert_eq!(response.status, 200);
    assert!(!response.is_chunked());
    let mut stream = fanfare_tests::sse::EventStream::of(response);
    server.api().publish_text(&topic, "plain").await;
    assert_eq!(stream.data_event().await.data, "plain");
}
