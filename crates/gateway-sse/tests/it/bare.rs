//! The door on the bare socket. Real sockets and real time, for what is tested is how the two go together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ConnectInfo;
use fanfare_gateway_sse::Options;
use fanfare_lifecycle::TaskKind;
use fanfare_model::UserId;
use http::request::Parts;
use http::{Request, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::parser::parse;
use crate::server::{Server, data, server, server_with};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// A reader of an answer, byte for byte.
struct Reader {
    socket: TcpStream,
    bytes: Vec<u8>,
    /// Data of events that were read and not asked for yet.
    ahead: VecDeque<String>,
}

impl Reader {
    /// Says whether there was more.
    async fn fill(&mut self) -> bool {
        within(self.socket.read_buf(&mut self.bytes)).await.unwrap() > 0
    }

    /// Everything up to and with the first `end`.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.bytes.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.bytes.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.bytes, rest)).unwrap();
            }
            assert!(self.fill().await, "ended after {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// The bytes of the next chunk; empty if it is the last.
    async fn chunk(&mut self) -> Vec<u8> {
        let line = self.until("\r\n").await;
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("no size: {line:?}"));
        while self.bytes.len() < size + 2 {
            assert!(self.fill().await, "ended within a chunk");
        }
        let rest = self.bytes.split_off(size + 2);
        let mut chunk = std::mem::replace(&mut self.bytes, rest);
        assert!(chunk.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(&chunk));
        chunk.truncate(size);
        chunk
    }

    /// The bytes of the next chunk that is no heartbeat.
    async fn news(&mut self) -> Vec<u8> {
        loop {
            let chunk = self.chunk().await;
            if chunk != b":\n" {
                return chunk;
            }
        }
    }

    /// The data of the next events.
    async fn data(&mut self, count: usize) -> Vec<String> {
        while self.ahead.len() < count {
            let chunk = self.chunk().await;
            assert!(!chunk.is_empty(), "the last chunk");
            assert!(chunk.ends_with(b"\n"), "within an event");
            self.ahead.extend(data(&parse(&chunk)).into_iter().map(str::to_owned));
        }
        self.ahead.drain(..count).collect()
    }

    async fn rest(mut self) -> String {
        while self.fill().await {}
        String::from_utf8(self.bytes).unwrap()
    }
}

/// Both ends of a connection with small buffers.
async fn connected() -> (Reader, TcpStream) {
    let listening = TcpSocket::new_v4().unwrap();
    listening.set_send_buffer_size(8 * 1024).unwrap();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener: TcpListener = listening.listen(1).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let socket = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    (Reader { socket, bytes: Vec::new(), ahead: VecDeque::new() }, theirs)
}

impl Server {
    fn head(&self, query: &str) -> Parts {
        let authorization = format!("Bearer {}", self.token("alice"));
        let request = Request::get(format!("/v1/sse?{query}")).header("authorization", authorization);
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let (head, ()) = request.extension(ConnectInfo(address)).body(()).unwrap().into_parts();
        assert!(self.door.takes(&head), "{query}");
        head
    }

    /// A client whose request with this head is served.
    async fn bare(&self, head: Parts) -> Reader {
        let (client, socket) = connected().await;
        self.node.life.spawn(TaskKind::Connection, "bare", self.door.serve(socket, head));
        client
    }

    /// A client of a stream that has begun.
    async fn stream(&self, query: &str) -> Reader {
        let mut client = self.bare(self.head(query)).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(client.chunk().await.starts_with(b":\nretry: 3000\n"));
        client
    }
}

#[tokio::test]
async fn a_stream_is_a_head_and_a_chunk_for_each_event() {
    let server = server();
    let mut client = server.bare(server.head("topic=a")).await;
    let head = client.head().await;
    for line in ["content-type: text/event-stream", "transfer-encoding: chunked", "connection: close"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    for name in ["fanfare-session", "fanfare-stream-state", "last-event-id", "vary", "date"] {
        assert!(head.contains(&format!("\r\n{name}: ")), "{head}");
    }
    assert!(client.chunk().await.starts_with(b":\nretry: 3000\n"));
    for text in ["one", "two"] {
        let position = server.publish("a", &[text]).await[0];
        assert_eq!(client.news().await, format!("id: {position}\ndata: {text}\n\n").into_bytes());
    }
    server.publish_numbers("a", 1..=100).await;
    let expected: Vec<_> = (1..=100).map(|n| n.to_string()).collect();
    assert_eq!(client.data(100).await, expected);
}

#[tokio::test]
async fn a_lone_event_is_written_while_the_task_sleeps() {
    let server = server();
    let (mut client, socket) = connected().await;
    let mut stream = pin!(server.door.serve(socket, server.head("topic=a")));
    tokio::select! {
        () = &mut stream => panic!("the stream has ended"),
        head = client.head() => assert!(head.starts_with("HTTP/1.1 200 OK\r\n")),
    }
    client.chunk().await;
    // From here on nobody polls the stream.
    for n in 0..3 {
        let text = n.to_string();
        server.publish("a", &[&text]).await;
        assert_eq!(client.data(1).await, [text]);
    }
}

#[tokio::test]
async fn a_blocked_stream_goes_on_when_its_socket_takes_more() {
    let server = server();
    for query in ["topic=a", "topic=a&topic=b", "topic=a&envelope=1", "topic=a&from=start"] {
        let mut client = server.stream(query).await;
        let envelope = query.contains("envelope");
        // Small ones, and some that are not copied; far more than sockets and ring hold.
        let mut expected = Vec::new();
        for n in 0..200_usize {
            let text = format!("{n} {}", "x".repeat(if n % 10 == 0 { 9_000 } else { 700 }));
            server.publish("a", &[&text]).await;
            expected.push(text);
        }
        if query.contains("start") {
            // What the clients before were sent as well.
            client.data(3 * 200).await;
        }
        let data = client.data(200).await;
        for (data, text) in data.into_iter().zip(expected) {
            let value =
                || serde_json::from_str::<serde_json::Value>(&data).unwrap()["data"].as_str().map(str::to_owned);
            assert!(if envelope { value().as_ref() == Some(&text) } else { data == text }, "{query}: {data:.40}");
        }
    }
}

#[tokio::test]
async fn http_1_0_gets_a_body_that_ends_with_the_connection() {
    let server = server();
    let mut head = server.head("topic=a");
    head.version = Version::HTTP_10;
    let mut client = server.bare(head).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert!(client.until("retry: 3000\n").await.starts_with(":\n"));
    let position = server.publish("a", &["one"]).await[0];
    assert!(client.until("\n\n").await.ends_with(&format!("id: {position}\ndata: one\n\n")));
    server.publish("a", &["two", &"x".repeat(9_000), "three"]).await;
    let mut text = String::new();
    for _ in 0..3 {
        text += &client.until("\n\n").await;
    }
    assert_eq!(data(&parse(text.as_bytes())), ["two", &"x".repeat(9_000), "three"]);
}

#[tokio::test]
async fn a_farewell_is_followed_by_the_last_chunk_and_the_end() {
    let server = server();
    let mut client = server.stream("topic=a").await;
    let tenant = fanfare_model::Tenant::default();
    assert_eq!(server.node.sessions.disconnect_user(&tenant, &UserId::new("alice").unwrap()), 1);
    let farewell = client.news().await;
    let events = parse(&farewell);
    assert_eq!((events.len(), events[0].event.as_str()), (1, "fanfare.disconnect"));
    assert_eq!(client.rest().await, "0\r\n\r\n");
    assert!(server.node.sessions.is_empty());
}

#[tokio::test]
async fn at_the_hard_stop_a_stream_is_cut_which_its_client_sees() {
    let server = server();
    let client = server.stream("topic=a").await;
    server.node.life.stop();
    assert_eq!(client.rest().await, "");
    within(server.node.life.ended()).await;
}

#[tokio::test]
async fn a_client_that_goes_is_noticed() {
    let server = server();
    let mut client = server.stream("topic=a").await;
    client.socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    server.publish("a", &["still here"]).await;
    assert_eq!(client.data(1).await, ["still here"]);
    drop(client);
    within(server.node.sessions.emptied()).await;
}

#[tokio::test]
async fn a_client_that_talks_without_end_is_cut_off() {
    let server = server();
    let mut client = server.stream("topic=a").await;
    let talking = async { while client.socket.write_all(&[b'x'; 1024]).await.is_ok() {} };
    within(talking).await;
    within(server.node.sessions.emptied()).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_one_that_waits_is_not() {
    let stall_timeout = fanfare_model::Duration::from_secs(1);
    let server = || server_with(Options { stall_timeout, ..Options::default() }, fanfare_session::Options::default());
    // A server each, so that the one's end tells that the other has waited as long.
    let (quiet, busy) = (server(), server());
    let mut waits = quiet.stream("topic=a").await;
    let _stalled = busy.stream("topic=a").await;
    assert_eq!(busy.node.sessions.len(), 1);
    busy.publish("a", &[&"x".repeat(500_000)]).await;
    within(busy.node.sessions.emptied()).await;
    quiet.publish("a", &["here"]).await;
    assert_eq!(waits.data(1).await, ["here"]);
}

#[tokio::test]
async fn refusals_are_whole_answers() {
    let server = server();
    let mut nobody = server.head("topic=a");
    nobody.headers.insert("authorization", "Bearer x".parse().unwrap());
    let problem = server.bare(nobody).await.rest().await;
    let (head, body) = problem.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
    assert!(head.contains("\r\nwww-authenticate: Bearer"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], "malformed_token");

    let problem = server.bare(server.head("")).await.rest().await;
    assert!(problem.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{problem}");
    let over = server.bare(server.head("topic=a&last_event_id=over")).await.rest().await;
    assert!(over.starts_with("HTTP/1.1 204 No Content\r\n") && !over.contains("content-length"), "{over}");
    assert!(over.ends_with("\r\n\r\n"), "{over}");

    let session = fanfare_session::Options { sessions_max: 0, ..fanfare_session::Options::default() };
    let server = server_with(Options::default(), session);
    let mut head = server.head("topic=open:1");
    head.headers.remove("authorization");
    let away = server.bare(head).await.rest().await;
    let (head, body) = away.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert!(body.contains("event: fanfare.disconnect\n"), "{body}");
}

/// The first chunk that holds an event of this name, and the data of that.
async fn told(client: &mut Reader, name: &str) -> serde_json::Value {
    loop {
        let chunk = client.news().await;
        if let Some(event) = parse(&chunk).into_iter().find(|event| event.event == name) {
            return serde_json::from_str(&event.data).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_written_among_them() {
    let server = server();
    let mut client = server.bare(server.head("topic=chat:1&topic=a&presence=1&resume=1")).await;
    client.head().await;
    let beginning = parse(&client.chunk().await);
    let names: Vec<_> = beginning.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["fanfare.resume", "fanfare.presence"]);

    let tenant = fanfare_model::Tenant::default();
    let chat = fanfare_model::Topic::new("chat:1").unwrap();
    let key = fanfare_model::TopicKey::new(tenant.clone(), chat.clone());
    let who = fanfare_presence::Who { session: "s1".parse().unwrap(), user: None, info: None };
    server.node.presence.enter(&key, &who, None).await.unwrap();
    assert_eq!(told(&mut client, "fanfare.presence").await["join"][0]["id"], "s1");
    server.publish("a", &["between"]).await;
    assert_eq!(client.data(1).await, ["between"]);

    let whose = fanfare_session::Whose::User(tenant, UserId::new("alice").unwrap());
    server.node.sessions.unsubscribe(&whose, &chat);
    // Published while the order waits: neither is lost for the other.
    server.publish("a", &["after"]).await;
    let mut text = String::new();
    while !(text.contains("after") && text.contains("fanfare.unsubscribed")) {
        text += &String::from_utf8(client.news().await).unwrap();
    }
    server.publish("chat:1", &["no more"]).await;
    server.publish("a", &["the end"]).await;
    assert_eq!(client.data(1).await, ["the end"]);
}
