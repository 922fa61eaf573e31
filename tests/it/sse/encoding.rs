//! Cases 1–10: a payload reaches the reader as it was sent, whatever is in it.

use fanfare_tests::sse::subscribe;
use fanfare_tests::{Config, H2Client, Message, PATIENCE, Server, eventually, fresh_topic, percent_encode};
use serde_json::{Value, json};

/// Publishes `message`: what a reader gets (name, data), and the bytes of the event without its `id` and heartbeats.
async fn round_trip(message: Message) -> (String, String, String) {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let mut stream = subscribe(server.public(), &[&topic]).open().await;
    stream.read_until("the prologue", |parser| parser.retry.is_some()).await;
    let before = stream.bytes().len();
    server.api().publish(&topic, message).await;
    let event = stream.data_event().await;
    let bytes = String::from_utf8(stream.bytes()[before..].to_vec()).expect("a stream is UTF-8");
    let beside = |line: &&str| line.starts_with("id:") || *line == ":\n";
    let lines: Vec<_> = bytes.split_inclusive('\n').filter(|line| !beside(line)).collect();
    (event.name, event.data, lines.concat())
}

async fn check_text(text: &str, data: &str, bytes: &str) {
    let expected = ("message".to_owned(), data.to_owned(), bytes.to_owned());
    assert_eq!(round_trip(Message::text(text)).await, expected, "of {text:?}");
}

#[tokio::test]
async fn case_01_every_line_end_is_one_line_end() {
    check_text("a\r\nb\rc\nd", "a\nb\nc\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n").await;
}

#[tokio::test]
async fn case_02_an_empty_payload_is_an_event() {
    check_text("", "", "data: \n\n").await;
}

#[tokio::test]
async fn case_03_a_leading_space_survives() {
    check_text(" x", " x", "data:  x\n\n").await;
}

#[tokio::test]
async fn case_04_a_payload_cannot_forge_fields() {
    check_text("x\revent: evil\rid: 9", "x\nevent: evil\nid: 9", "data: x\ndata: event: evil\ndata: id: 9\n\n").await;
}

#[tokio::test]
async fn case_05_trailing_newlines_survive() {
    check_text("x\n\n", "x\n\n", "data: x\ndata: \ndata: \n\n").await;
}

#[tokio::test]
async fn case_06_names_that_could_break_a_line_are_refused_at_publish() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("case");
    for (member, bad) in [
        ("name", "a\nb"),
        ("name", "a\rb"),
        ("name", "fanfare.gap"),
        ("id", "a\0b"),
        ("id", "a\rb"),
        ("id", "a\u{202e}b"),
        ("id", "a\u{2028}b"),
        ("id", "a\u{85}b"),
        ("key", "a\u{7f}b"),
    ] {
        let message = Message::json(1).with(member, bad).0;
        let answer = api.post("/v1/publish", &json!({"topic": topic, "message": message})).await;
        answer.assert_problem(400, "invalid_request");
    }
    let bad = [b"{\"topic\":\"".as_slice(), topic.as_bytes(), b"\",\"message\":{\"id\":\"\xff\",\"data\":1}}"].concat();
    api.post_raw("/v1/publish", "application/json", bad).await.assert_problem(400, "invalid_json");
    let events = format!("/v1/topics/{}/events", percent_encode(&topic));
    api.post_raw(&events, "text/plain", b"\xff\xfe".to_vec()).await.assert_problem(400, "invalid_request");
    assert_eq!(api.log_of(&topic).await, Vec::<Value>::new(), "nothing was stored");
}

#[tokio::test]
async fn case_07_line_separators_are_escaped_in_envelopes_and_left_alone_in_payloads() {
    let text = "a\u{2028}b\u{2029}c\u{85}d";
    check_text(text, text, &format!("data: {text}\n\n")).await;

    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let mut stream = subscribe(server.public(), &[&topic]).envelope().open().await;
    server.api().publish_text(&topic, text).await;
    server.api().publish(&topic, Message::text(text).with("name", "named")).await;
    for _ in 0..2 {
        let event = stream.data_event().await;
        for separator in ['\u{2028}', '\u{2029}', '\u{85}'] {
            assert!(!event.data.contains(separator), "{separator:?} in {}", event.data);
        }
        let envelope = event.json();
        assert_eq!(envelope["data"], text, "{envelope}");
        assert_eq!(envelope["topic"], topic);
    }
}

#[tokio::test]
async fn case_08_a_payload_just_below_the_limit_is_intact_and_above_it_is_refused() {
    const LIMIT: usize = 1024 * 1024;
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("case");
    let mut http1 = subscribe(server.public(), &[&topic]).open().await;
    let mut connection = H2Client::connect(server.public(), 65_535).await;
    let mut http2 = subscribe(server.public(), &[&topic]).open_h2(&mut connection).await;

    let api = server.api();
    let events = format!("/v1/topics/{}/events", percent_encode(&topic));
    let above = api.post_raw(&events, "text/plain", vec![b'x'; LIMIT + 1]).await;
    above.assert_problem(413, "too_large");

    // The limit is of the whole event, so there is some room for its id and source.
    let text: String = (b'a'..=b'z').cycle().map(char::from).take(LIMIT - 64).collect();
    api.post_raw(&events, "text/plain", text.as_str()).await.ok();
    for stream in [&mut http1, &mut http2] {
        let event = stream.data_event().await;
        assert!(event.data == text, "{} bytes came of {}", event.data.len(), text.len());
    }
    api.publish_text(&topic, "and on").await;
    for stream in [&mut http1, &mut http2] {
        assert_eq!(stream.data_event().await.data, "and on");
    }
}

#[tokio::test]
async fn case_09_a_byte_order_mark_in_a_payload_survives() {
    check_text("\u{feff}x", "\u{feff}x", "data: \u{feff}x\n\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_10_an_event_is_encoded_once_for_ten_thousand_readers() {
    const CONNECTIONS: usize = 50;
    const STREAMS: usize = 200;
    let config = Config::new().session("sessions_per_user_max = 20000").session("sessions_max = 20000");
    let server = Server::start(config).await;
    let topic = fresh_topic("case");
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let mut streams = Vec::with_capacity(CONNECTIONS * STREAMS);
    for _ in 0..CONNECTIONS {
        let mut connection = H2Client::connect(server.public(), 65_535).await;
        for _ in 0..STREAMS {
            streams.push(subscribe(server.public(), &[&topic]).open_h2(&mut connection).await);
        }
        connections.push(connection);
    }
    let api = server.api();
    let sessions = || async { (api.metric("fanfare_sessions", "sse").await >= 10_000.0).then_some(()) };
    eventually("all sessions to be counted", PATIENCE, sessions).await;
    let before = api.metric("fanfare_events_encoded_total", "sse").await;
    api.publish_text(&topic, "for all").await;
    for stream in &mut streams {
        assert_eq!(stream.data_event().await.data, "for all");
    }
    let encoded = api.metric("fanfare_events_encoded_total", "sse").await - before;
    assert!((encoded - 1.0).abs() < 0.5, "encoded {encoded} times");
}
