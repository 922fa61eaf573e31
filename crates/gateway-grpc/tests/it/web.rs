//! gRPC-Web, and calls made by hand.

use bytes::{Buf as _, Bytes};
use fanfare_gateway_grpc::Options;
use fanfare_proto::v1::server_frame::What;
use fanfare_proto::v1::{PublishRequest, PublishResponse, ServerFrame};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpStream;

use crate::hostile::framed;
use crate::support::{Choices, PATIENCE, TestNode, item, node, strings, text, topics};

/// A request by hand.
#[derive(Clone)]
pub(crate) struct Call {
    method: &'static str,
    path: &'static str,
    headers: HeaderMap,
    http1: bool,
}

/// What came back, with the headers and the trailers in one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn grpc_status(&self) -> Option<u16> {
        self.header("grpc-status").map(|text| text.parse().unwrap())
    }
}

impl Call {
    pub(crate) fn new(path: &'static str, token: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        Self { method: "POST", path, headers, http1: false }
    }

    /// As a browser calls.
    fn web(path: &'static str, token: &str) -> Self {
        let call = Self { http1: true, ..Self::new(path, token) };
        call.header("content-type", "application/grpc-web+proto").header("origin", "https://app.example")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    async fn begin(self, test: &TestNode, body: Vec<u8>) -> http::Response<hyper::body::Incoming> {
        let io = TokioIo::new(TcpStream::connect(test.address).await.unwrap());
        let uri = format!("http://{}{}", test.address, self.path);
        let mut request = Request::builder().method(self.method).uri(uri).body(Full::new(Bytes::from(body))).unwrap();
        *request.headers_mut() = self.headers;
        let life = &test.node.life;
        if self.http1 {
            request.headers_mut().insert("host", "push.example".parse().unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            life.spawn(fanfare_lifecycle::TaskKind::Connection, "client", async move { drop(connection.await) });
            return sender.send_request(request).await.unwrap();
        }
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        life.spawn(fanfare_lifecycle::TaskKind::Connection, "client", async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    }

    /// Sends it and waits for the end of the answer.
    pub(crate) async fn send(self, test: &TestNode, body: Vec<u8>) -> Answer {
        let response = tokio::time::timeout(PATIENCE, self.begin(test, body)).await.unwrap();
        let (head, body) = response.into_parts();
        let collected = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
        let mut headers = head.headers;
        headers.extend(collected.trailers().cloned().unwrap_or_default());
        Answer { status: head.status.as_u16(), headers, body: collected.to_bytes() }
    }
}

/// The parts of a body of gRPC-Web: messages, and the trailers (marked by the highest bit) as text.
fn parts(mut body: Bytes) -> (Vec<Bytes>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while body.has_remaining() {
        let (kind, length) = (body.get_u8(), body.get_u32() as usize);
        let part = body.split_to(length);
        match kind {
            0 => messages.push(part),
            0x80 => trailers = String::from_utf8(part.to_vec()).unwrap(),
            other => panic!("{other}"),
        }
    }
    (messages, trailers)
}

fn with_pages() -> Choices {
    let grpc = Options { allowed_origins: vec!["https://app.example".to_owned()], ..Options::default() };
    Choices { grpc, ..Choices::default() }
}

#[tokio::test]
async fn a_page_calls_over_http_1() {
    let test = node(with_pages()).await;
    let request = PublishRequest { items: vec![item("chat:1", text("hi"))], ..PublishRequest::default() };
    let call = Call::web("/fanfare.v1.Events/Publish", &test.server());
    let answer = call.send(&test, framed(0, &request.encode_to_vec())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc-web+proto")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    let (messages, trailers) = parts(answer.body);
    assert_eq!(PublishResponse::decode(messages[0].clone()).unwrap().results.len(), 1);
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");
}

#[tokio::test]
async fn a_page_listens_until_it_is_sent_away() {
    let test = node(with_pages()).await;
    let request = framed(0, &topics(&["chat:1"], "now").encode_to_vec());
    let call = Call::web("/fanfare.v1.Events/Subscribe", &test.token("alice"));
    let mut body = call.begin(&test, request).await.into_body();
    let mut received = bytes::BytesMut::new();
    let mut published = false;
    let listened = async {
        while let Some(frame) = body.frame().await {
            received.extend_from_slice(frame.unwrap().data_ref().unwrap());
            if !published {
                published = true;
                test.publish("chat:1", strings(&["a"])).await;
            } else if received.windows(6).any(|window| window == b"chat:1") {
                test.node.life.drain();
            }
        }
    };
    tokio::time::timeout(PATIENCE, listened).await.unwrap();
    let (messages, trailers) = parts(received.freeze());
    let frames: Vec<_> =
        messages.into_iter().map(|message| ServerFrame::decode(message).unwrap().what.unwrap()).collect();
    assert!(frames.iter().any(|what| matches!(what, What::Event(event) if event.id == "a")), "{frames:?}");
    assert!(matches!(frames.last(), Some(What::Disconnect(_))));
    assert!(trailers.contains("grpc-status:14"), "{trailers:?}");
}

#[tokio::test]
async fn only_listed_pages_may_read_the_answers() {
    let test = node(with_pages()).await;
    let preflight = |origin: &str| {
        Call { http1: true, ..Call::new("/fanfare.v1.Events/Publish", "") }
            .method("OPTIONS")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-grpc-web")
    };
    let allowed = preflight("https://app.example").send(&test, Vec::new()).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (204, Some("https://app.example")));
    for header in ["authorization", "content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"] {
        assert!(
            allowed.header("access-control-allow-headers").unwrap().split(',').any(|one| one == header),
            "{header}"
        );
    }
    let denied = preflight("https://evil.example").send(&test, Vec::new()).await;
    assert_eq!((denied.status, denied.header("access-control-allow-origin")), (204, None));
    let exposed = Call::web("/fanfare.v1.Events/Publish", "x").send(&test, framed(0, b"")).await;
    let headers = exposed.header("access-control-expose-headers").unwrap();
    assert!(headers.contains("grpc-status") && headers.contains("grpc-message"), "{headers}");
}

#[tokio::test]
async fn what_is_neither_grpc_nor_grpc_web_is_refused_over_http_1() {
    let test = node(Choices::default()).await;
    let call = Call { http1: true, ..Call::new("/fanfare.v1.Events/Publish", "") };
    assert_eq!(call.send(&test, Vec::new()).await.status, 400);
}
