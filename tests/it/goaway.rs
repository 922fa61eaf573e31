//! What a client of HTTP/2 sees when a node drains, frame by frame: with TLS the same as without.

use std::sync::Arc;

use fanfare_proto::v1::{SubscribeRequest, TopicFrom};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, PATIENCE, Server, frames, fresh_topic, within};
use prost::Message as _;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::Certificates;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A frame of the server's (RFC 9113 section 4.1).
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection that hides nothing. It answers what must be answered: settings and pings.
struct Connection(Box<dyn Line>);

impl Connection {
    /// Opens it, and on it a `Subscribe` to `topic`, which is stream 1.
    async fn subscribe(mut line: Box<dyn Line>, scheme: &str, topic: &str) -> Self {
        let request = SubscribeRequest {
            topics: vec![TopicFrom { topic: topic.to_owned(), from: None }],
            from: frames::from(&json!("start")),
            ..SubscribeRequest::default()
        };
        let message = request.encode_to_vec();
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len()).expect("a short message").to_be_bytes());
        body.extend_from_slice(&message);
        let mut head = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", "/fanfare.v1.Events/Subscribe"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", &format!("Bearer {}", Token::client().mint())),
        ] {
            // A literal without indexing, with a new name (RFC 7541 section 6.2.2).
            head.push(0);
            literal(name, &mut head);
            literal(value, &mut head);
        }
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(SETTINGS, 0, 0, &[], &mut out);
        frame(HEADERS, END_HEADERS, 1, &head, &mut out);
        frame(DATA, END_STREAM, 1, &body, &mut out);
        line.write_all(&out).await.expect("open");
        Self(line)
    }

    /// The next frame; `None` at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.read()).await
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.expect("a whole frame");
        let mut answer = Vec::new();
        if (kind == SETTINGS || kind == PING) && flags & ACK == 0 {
            frame(kind, ACK, 0, if kind == PING { &payload } else { &[] }, &mut answer);
            // Who has said all that it had to say may close before it has heard the answer.
            let _ = self.0.write_all(&answer).await;
        }
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Everything up to the end of the connection.
    async fn until_end(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(payload.len()).expect("a short payload").to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A string of a header as it is, its length in a prefix of seven bits (RFC 7541 section 5.1).
fn literal(text: &str, out: &mut Vec<u8>) {
    let byte = |n: usize| u8::try_from(n).expect("seven bits");
    if text.len() < 127 {
        out.push(byte(text.len()));
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push(128 | byte(rest % 128));
            rest /= 128;
        }
        out.push(byte(rest));
    }
    out.extend_from_slice(text.as_bytes());
}

fn holds(frame: &Frame, text: &str) -> bool {
    frame.payload.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What the page on gRPC promises of the end of a node, and that nothing is cut off.
async fn is_told_to_go(config: Config, tls: Option<&Certificates>) {
    let mut server = Server::start(config.drain_over(2)).await;
    let topic = fresh_topic("goaway");
    server.api().publish_text(&topic, "before the end").await;
    let socket = TcpStream::connect(server.public()).await.expect("the port is open");
    let (line, scheme): (Box<dyn Line>, _) = match tls {
        None => (Box::new(socket), "http"),
        Some(certificates) => {
            let mut client = (*certificates.rustls()).clone();
            client.alpn_protocols = vec![b"h2".to_vec()];
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = within("a handshake", TlsConnector::from(Arc::new(client)).connect(name, socket)).await;
            (Box::new(stream.expect("it is trusted")), "https")
        }
    };
    let mut connection = Connection::subscribe(line, scheme, &topic).await;
    loop {
        let frame = connection.next().await.expect("the connection goes on");
        assert!(frame.kind != GOAWAY && frame.kind != RST_STREAM, "{frame:?}");
        if frame.kind == DATA && holds(&frame, "before the end") {
            break;
        }
    }
    server.terminate();
    let frames = connection.until_end().await;
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM), "{frames:?}");
    // NO_ERROR; the last says which streams are still served: ours.
    let goaways: Vec<_> = frames.iter().filter(|frame| frame.kind == GOAWAY).collect();
    assert!(goaways.iter().all(|frame| frame.payload[4..8] == [0; 4]), "{goaways:?}");
    assert_eq!(goaways.last().expect("GOAWAY").payload[..4], [0, 0, 0, 1], "{goaways:?}");
    let of_stream: Vec<_> = frames.iter().filter(|frame| frame.stream == 1).collect();
    assert!(of_stream.iter().any(|frame| frame.kind == DATA && holds(frame, "draining")), "{of_stream:?}");
    let last = of_stream.last().expect("an end");
    assert!(last.kind == HEADERS && last.flags & END_STREAM != 0, "trailers: {last:?}");
    assert!(server.ended(PATIENCE).await.success(), "nothing had to be cut off");
}

#[tokio::test]
async fn without_tls() {
    is_told_to_go(Config::new(), None).await;
}

#[tokio::test]
async fn with_tls() {
    let certificates = Certificates::make();
    is_told_to_go(certificates.config(), Some(&certificates)).await;
}
