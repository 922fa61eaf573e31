//! Bodies, heads and subscriptions that are wrong or too much.

use fanfare_tests::sse::{PATH, subscribe};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, H2Client, Request, Server, within, ws};
use serde_json::json;

use super::Undisturbed;

#[tokio::test]
async fn malformed_json_at_the_publishing_door() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    let api = server.api().pooled();
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let in_data = |data: &str| format!("{{\"topic\":\"a\",\"message\":{{\"data\":{data}}}}}");
    for body in [
        String::new(),
        "{".to_owned(),
        "}".to_owned(),
        "null".to_owned(),
        "[[[[".to_owned(),
        "{\"topic\":\"a\"".to_owned(),
        "{\"topic\":\"a\",\"message\":{\"data\":1}}x".to_owned(),
        "{\"topic\":\"a\",\"topic\":\"b\",\"message\":{\"data\":1}}".to_owned(),
        "{\"topic\":\"a\\ud800\",\"message\":{\"data\":1}}".to_owned(),
        "{\"topic\":5,\"message\":{\"data\":1}}".to_owned(),
        "{'topic':'a'}".to_owned(),
        "\u{feff}{}".to_owned(),
        in_data("01"),
        in_data("+1"),
        in_data(".5"),
        in_data("NaN"),
        in_data("\"\u{1}\""),
        in_data("\"\\x\""),
        in_data("tru"),
        in_data("[1,]"),
        in_data("{\"a\":1,}"),
        in_data(&deep("[", "]")),
        in_data(&deep("{\"a\":", "}")),
        deep("[", "]"),
        "\n".repeat(1 << 20),
    ] {
        let answer = api.post_raw("/v1/publish", "application/json", body.as_str()).await;
        // Not JSON, or JSON that is not a request.
        let code = if answer.text.contains("invalid_json") { "invalid_json" } else { "invalid_request" };
        answer.assert_problem(400, code);
        assert!(answer.text.len() < 2000, "a short answer to {body:.60}");
    }
    assert!(api.log_of("a").await.is_empty());
    witness.check(&server).await;
}

#[tokio::test]
async fn bodies_beyond_the_limit() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    let api = server.api().pooled();
    // Announced, and not announced: by chunks it is found while it comes. The server answers and reads no further.
    let too_large = format!("{{\"topic\":\"a\",\"message\":{{\"data\":\"{}\"}}}}", "x".repeat(5 << 20));
    let post = Request::new("POST", "/v1/publish").bearer(&Token::server().mint());
    let chunk = format!("{:x}\r\n{too_large}\r\n0\r\n\r\n", too_large.len());
    let chunked = post.clone().header("Content-Type", "application/json").header("Transfer-Encoding", "chunked");
    let requests = [post.body("application/json", too_large), chunked.unframed_body(chunk)];
    for request in requests.iter().cycle().take(20) {
        let response = within("an answer", request.send(server.admin())).await.expect("a clear answer, not a reset");
        assert_eq!(response.status, 413);
    }
    let many: Vec<_> = (0..1001).map(|n| json!({"data": n})).collect();
    let answer = api.post("/v1/publish", &json!({"topic": "a", "messages": many})).await;
    assert!(matches!(answer.status.as_u16(), 400 | 413), "{}", answer.status);
    let small = Server::start(Config::new().kind("small", "event_bytes_max = \"1KiB\"")).await;
    let body = json!({"topic": "small:1", "message": {"data": "x".repeat(2000)}});
    small.api().post("/v1/publish", &body).await.assert_problem(413, "too_large");
    assert!(api.log_of("a").await.is_empty());
    witness.check(&server).await;
}

#[tokio::test]
async fn heads_beyond_the_limit() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    let token = Token::client().mint();
    let long_line = Request::get(format!("{PATH}?topic={}", "x".repeat(70_000))).bearer(&token);
    let long_header = Request::get(format!("{PATH}?topic=a")).bearer(&token).header("X-Filling", "x".repeat(70_000));
    let many_headers = (0..300).fold(Request::get(format!("{PATH}?topic=a")).bearer(&token), |request, n| {
        request.header(&format!("X-{n}"), "x")
    });
    for (request, what) in [(long_line, "a long line"), (long_header, "a long header"), (many_headers, "many headers")]
    {
        let response = within(what, request.send(server.public())).await;
        let status = response.map(|response| response.status);
        assert!(matches!(status, Ok(400 | 414 | 431)), "{what}: {status:?}");
    }
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
        b"GET /v1/sse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/sse HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.public()).await.expect("accepted");
        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.expect("written");
        let answer = within("an answer or the end", fanfare_tests::Response::read(stream, false)).await;
        assert!(answer.as_ref().map_or(true, |response| response.status >= 400), "{bytes:?}: {answer:?}");
    }
    witness.check(&server).await;
}

#[tokio::test]
async fn ten_thousand_subscriptions() {
    let server = Server::start(Config::new().ws("commands_burst = 20000").ws("commands_per_second = 20000")).await;
    let witness = Undisturbed::new(&server).await;
    let mut client = ws::connect(server.public(), &Token::client().user("greedy").mint()).await;
    let commands: Vec<String> =
        (0..10_000).map(|n| json!({"id": n, "subscribe": {"topic": format!("greedy:{n}")}}).to_string()).collect();
    let (mut granted, mut refused) = (0, 0);
    for batch in commands.chunks(200) {
        client.send_text(&batch.join("\n")).await.expect("open");
        for _ in batch {
            let frame = client.frame().await;
            granted += usize::from(frame.get("subscribed").is_some());
            refused += usize::from(frame["error"]["code"] == "rate_limited");
        }
    }
    assert_eq!((granted, refused), (128, 10_000 - 128));
    server.api().publish_text("greedy:5", "heard").await;
    assert_eq!(client.event().await["data"], "heard");
    drop(client);

    let topics: Vec<_> = (0..10_000).map(|n| format!("greedy:{n}")).collect();
    let body = json!({"topics": topics}).to_string();
    let post = Request::new("POST", PATH).bearer(&Token::client().mint()).body("application/json", body);
    let response = within("an answer", post.send(server.public())).await.expect("an answer");
    assert!(matches!(response.status, 400 | 413), "{}", response.status);
    witness.check(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_opened_and_reset_in_great_number() {
    let server = Server::start(Config::new()).await;
    let witness = Undisturbed::new(&server).await;
    let token = Token::client().mint();
    let path = subscribe(server.public(), &["reset:a"]).target();
    for _ in 0..10 {
        let mut connection = H2Client::connect(server.public(), 65_535).await;
        for _ in 0..200 {
            // Dropping the answer resets its stream. The server may end a connection that does this too often.
            if connection.get(&path, &token).await.is_err() {
                break;
            }
        }
    }
    witness.check(&server).await;
}
