//! How a connection becomes a stream, whatever comes before and behind the head of its request; and what it costs the
//! kernel when nobody reads it.

use fanfare_tests::sse::{EventStream, PATH, subscribe};
use fanfare_tests::token::Token;
use fanfare_tests::{
    Api, Config, Frame, PATIENCE, RawWs, Request, Response, Server, eventually, fresh_topic, unacknowledged, within, ws,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

async fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.public()).await.expect("the server accepts");
    stream.set_nodelay(true).expect("a fresh socket");
    stream
}

/// The stream that a connection has become.
async fn stream(connection: TcpStream) -> EventStream {
    let response = within("the head of a stream", Response::read(connection, false)).await.expect("an answer");
    assert_eq!((response.status, response.is_chunked()), (200, true));
    EventStream::of(response)
}

async fn sessions(api: &Api) -> f64 {
    api.metric("fanfare_sessions", "sse").await
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("split");
    let mut connection = connect(&server).await;
    for byte in subscribe(server.public(), &[&topic]).request("GET").bytes() {
        connection.write_all(&[byte]).await.expect("written");
        tokio::task::yield_now().await;
    }
    let mut stream = stream(connection).await;
    server.api().publish_text(&topic, "whole").await;
    assert_eq!(stream.data_event().await.data, "whole");
}

#[tokio::test]
async fn what_comes_behind_a_head_is_no_second_stream() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("behind");
    let request = subscribe(server.public(), &[&topic]).request("GET").bytes();
    let mut connection = connect(&server).await;
    connection.write_all(&request.repeat(3)).await.expect("written");
    let mut stream = stream(connection).await;
    stream.http1().connection().write_all(&request).await.expect("written");
    let api = server.api();
    for text in ["one", "two"] {
        api.publish_text(&topic, text).await;
        assert_eq!(stream.data_event().await.data, text);
    }
    assert!((sessions(&api).await - 1.0).abs() < 0.5);
    drop(stream);
    eventually("the session to end", PATIENCE, || async { (sessions(&api).await < 0.5).then_some(()) }).await;
}

#[tokio::test]
async fn a_connection_that_asked_for_something_else_first_may_become_a_stream() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("kept");
    let mut connection = connect(&server).await;
    for (request, status) in [
        (Request::get("/"), 404),
        (Request::new("OPTIONS", PATH), 204),
        (Request::get(format!("{PATH}?topic={topic}&poll=1")), 401),
    ] {
        connection.write_all(&request.bytes()).await.expect("written");
        let mut response = within("an answer", Response::read(connection, false)).await.expect("an answer");
        assert_eq!(response.status, status);
        while within("a body", response.chunk()).await.expect("a body").is_some() {}
        let rest;
        (connection, rest) = response.into_connection();
        assert!(rest.is_empty(), "{rest:?}");
    }
    connection.write_all(&subscribe(server.public(), &[&topic]).request("GET").bytes()).await.expect("written");
    let mut stream = stream(connection).await;
    server.api().publish_text(&topic, "at last").await;
    assert_eq!(stream.data_event().await.data, "at last");
}

#[tokio::test]
async fn a_refusal_and_a_goodbye_end_their_connection_cleanly() {
    let server = Server::start(Config::new().drain_over(1)).await;
    let topic = fresh_topic("end");
    let refused = subscribe(server.public(), &[&topic]).token(None).send().await.expect("an answer");
    assert_eq!((refused.status, refused.header("connection")), (401, Some("close")));
    let (mut connection, mut rest) = refused.into_connection();
    within("the end", connection.read_buf(&mut rest)).await.expect("a body");
    while within("the end", connection.read_buf(&mut rest)).await.expect("a clean end") > 0 {}
    let problem: Value = serde_json::from_slice(&rest).expect("the whole body");
    assert_eq!(problem["code"], "missing_credential");

    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(subscribe(server.public(), &[&topic]).open().await);
    }
    server.terminate();
    for stream in &mut streams {
        // An error if it ended without its last chunk.
        assert_eq!(stream.to_end().await.last().expect("a goodbye").json()["reason"], "draining");
        let end = stream.http1().connection().read(&mut [0]).await;
        assert_eq!(end.expect("closed, not reset"), 0);
    }
}

/// The bytes of the first head of a connection are read before its server is chosen; none may get lost on the way to
/// the WebSocket gateway.
#[tokio::test]
async fn a_web_socket_may_talk_before_its_handshake_is_answered() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("early");
    let commands = [
        json!({"id": 1, "connect": {"token": Token::client().mint()}}),
        json!({"id": 2, "subscribe": {"topic": topic}}),
        json!({"id": 3, "publish": {"topic": topic, "data": "x".repeat(30_000)}}),
        json!({"id": 4, "publish": {"topic": topic, "data": "the end"}}),
    ];
    let behind: Vec<u8> = commands.iter().flat_map(|command| Frame::text(command.to_string()).bytes()).collect();
    let mut socket = RawWs::connect_and_say(server.public(), behind).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let frame = within("a frame", socket.receive()).await.expect("open").expect("not ended");
        for line in String::from_utf8(frame.payload).expect("text").lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_default();
            heard.extend(value["event"]["data"].as_str().map(str::len));
        }
    }
    assert_eq!(heard, [30_000, "the end".len()]);
    let mut again = ws::connect(server.public(), &Token::client().mint()).await;
    again.subscribe(&topic, "start").await;
    assert_eq!(again.event().await["data"].as_str().map(str::len), Some(30_000));
}

#[tokio::test]
async fn a_stuck_reader_holds_little_of_the_kernel() {
    /// What may be unsent, what may be sent and not acknowledged, and what the kernel rounds up.
    const HELD_MAX: usize = 96 * 1024;
    let server = Server::start(Config::new().lets_readers_stop()).await;
    let topic = fresh_topic("stuck");
    let socket = TcpSocket::new_v4().expect("a socket");
    // What the client's own side holds is not the server's.
    socket.set_recv_buffer_size(4096).expect("a fresh socket");
    let mut connection = socket.connect(server.public()).await.expect("the server accepts");
    let client = connection.local_addr().expect("connected");
    connection.write_all(&subscribe(server.public(), &[&topic]).request("GET").bytes()).await.expect("written");
    let _stuck = stream(connection).await;
    let mut healthy = subscribe(server.public(), &[&topic]).open().await;
    let (api, text) = (server.api().pooled(), "x".repeat(10_000));
    for _ in 0..300 {
        api.publish_text(&topic, &text).await;
        healthy.data_event().await;
    }
    let held = unacknowledged(server.public(), client).expect("it is still open");
    assert!((4096..HELD_MAX).contains(&held), "{held} bytes of 3 MB are held");
}

#[tokio::test]
async fn a_client_that_never_says_anything_is_closed() {
    let server = Server::start(Config::new().set("http", "header_read_timeout = \"1s\"")).await;
    let mut silent = connect(&server).await;
    let mut rest = Vec::new();
    within("the end", silent.read_to_end(&mut rest)).await.expect("closed, not reset");
    assert!(rest.is_empty(), "{rest:?}");
}
