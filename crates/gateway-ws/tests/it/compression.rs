//! permessage-deflate on a bare socket, with another implementation of DEFLATE on the client's side.

use fanfare_gateway_ws::Options;
use fanfare_model::{ByteSize, Data, Draft, Tenant, Topic};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{Choices, TestNode, node};

const TEXT: u8 = 0x81;
const RSV1: u8 = 0x40;
const CLOSE: u8 = 0x88;
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A client that reads and writes frames.
struct Raw {
    stream: BufReader<TcpStream>,
    /// What the server has agreed to.
    extensions: Option<String>,
}

impl Raw {
    async fn open(node: &TestNode, offer: &str) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(node.address).await.unwrap());
        let head = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: push.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: {offer}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut extensions = None;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-extensions") => {
                    extensions = Some(value.to_owned());
                }
                None if line == "\r\n" => return Self { stream, extensions },
                _ => {}
            }
        }
    }

    async fn connect(node: &TestNode, offer: &str) -> Self {
        let mut raw = Self::open(node, offer).await;
        let connect = json!({"id": 1, "connect": {"token": node.token("alice")}}).to_string();
        raw.send(TEXT, connect.as_bytes()).await;
        let (first, said) = raw.next().await;
        assert_eq!(first, TEXT, "too small to be compressed");
        assert_eq!(said["connected"]["user"], "alice");
        raw
    }

    /// Sends a frame with the mask 0. The server may have closed already.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        let length = (payload.len() as u64).to_be_bytes();
        let frame = [&[first, 0xff][..], &length, &[0; 4], payload].concat();
        // Lengths are to be in their shortest form.
        let frame = match payload.len() {
            0..126 => [&[first, 0x80 | length[7]], &frame[10..]].concat(),
            126..0x1_0000 => [&[first, 0xfe], &frame[8..]].concat(),
            _ => frame,
        };
        drop(self.stream.write_all(&frame).await);
    }

    /// Sends a message compressed, as one last block (RFC 7692 section 7.2.3.4).
    async fn send_compressed(&mut self, message: &[u8]) {
        let mut packed = compress_to_vec(message, 6);
        packed.push(0);
        self.send(TEXT | RSV1, &packed).await;
    }

    /// The first byte and the payload of the next frame that is not one of the server's pings, which may come at any
    /// time.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            match self.any_frame().await {
                (0x89, _) => {}
                (TEXT, payload) if payload == br#"{"ping":{}}"# => {}
                other => return other,
            }
        }
    }

    async fn any_frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let (first, length) = (self.stream.read_u8().await.unwrap(), self.stream.read_u8().await.unwrap());
            let length = match length {
                126 => u64::from(self.stream.read_u16().await.unwrap()),
                127 => self.stream.read_u64().await.unwrap(),
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.unwrap();
            (first, payload)
        };
        tokio::time::timeout(crate::support::PATIENCE, read).await.expect("a frame in time")
    }

    /// The next thing said, and the first byte of its frame.
    async fn next(&mut self) -> (u8, Value) {
        let (first, payload) = self.frame().await;
        let text = if first & RSV1 == 0 { payload } else { inflated(payload) };
        (first, serde_json::from_slice(&text).unwrap())
    }

    async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

fn inflated(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend([0, 0, 0xff, 0xff, 3, 0]);
    decompress_to_vec_with_limit(&payload, 10 << 20).unwrap()
}

async fn publish(node: &TestNode, data: Data) {
    let batch = vec![(Topic::new("chat:1").unwrap(), Draft::new(data))];
    node.node.bus.publish(&Tenant::default(), batch).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn both_ways() {
    let node = node(Choices::default()).await;
    let (mut first, mut second) = (Raw::connect(&node, "permessage-deflate").await, {
        Raw::connect(&node, "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12").await
    });
    assert_eq!(first.extensions.as_deref(), Some(AGREED));
    assert_eq!(second.extensions, Some(format!("{AGREED}; server_max_window_bits=12")));
    for raw in [&mut first, &mut second] {
        raw.send_compressed(br#"{"id":2,"subscribe":{"topic":"chat:1"}}"#).await;
        assert_eq!(raw.next().await.1["subscribed"]["topic"], "chat:1");
    }
    // A large message in fragments with a ping between, of which only the first frame says that it is compressed.
    let data = "words and words and more words, ".repeat(1000);
    let publish = json!({"id": 3, "publish": {"topic": "chat:1", "data": data}}).to_string();
    let mut packed = compress_to_vec(publish.as_bytes(), 6);
    packed.push(0);
    let (begin, end) = packed.split_at(packed.len() / 2);
    first.send(0x01 | RSV1, begin).await;
    first.send(0x89, b"p").await;
    first.send(0x80, end).await;
    let mut said = Vec::new();
    while said.len() < 3 {
        said.push(first.frame().await);
    }
    assert!(said.contains(&(0x8a, b"p".to_vec())), "{said:?}");
    let event = said.iter().find(|(byte, _)| *byte == TEXT | RSV1).expect("a compressed event").1.clone();
    assert_eq!(second.frame().await, (TEXT | RSV1, event.clone()), "the same frame for everyone");
    assert!(event.len() < 1000, "{} bytes", event.len());
    let event: Value = serde_json::from_slice(&inflated(event)).unwrap();
    assert_eq!(event["event"]["data"], data);
}

#[tokio::test]
async fn replies_from_the_same_size_on() {
    let ws = Options { compression_bytes_min: ByteSize(2000), ..Options::default() };
    let node = node(Choices { ws, ..Choices::default() }).await;
    node.publish("chat:1", (0..50).map(|n| format!("event-{n}"))).await;
    let mut raw = Raw::connect(&node, "permessage-deflate").await;
    for (limit, first) in [(1, TEXT), (50, TEXT | RSV1)] {
        let history = json!({"id": 2, "history": {"topic": "chat:1", "limit": limit}}).to_string();
        raw.send(TEXT, history.as_bytes()).await;
        let (byte, reply) = raw.next().await;
        assert_eq!(reply["history"]["events"].as_array().unwrap().len(), limit);
        assert_eq!(byte, first, "{limit} events");
    }
}

#[tokio::test]
async fn who_has_a_window_too_small_for_ours_gets_it_plain() {
    let node = node(Choices::default()).await;
    let mut raw = Raw::connect(&node, "permessage-deflate; server_max_window_bits=9").await;
    assert_eq!(raw.extensions, Some(format!("{AGREED}; server_max_window_bits=9")));
    raw.send_compressed(br#"{"id":2,"subscribe":{"topic":"chat:1"}}"#).await;
    raw.next().await;
    publish(&node, Data::text("again ".repeat(1000))).await;
    let (first, event) = raw.next().await;
    assert_eq!((first, event["event"]["offset"].as_u64()), (TEXT, Some(1)));
}

#[tokio::test]
async fn what_is_not_agreed_on_is_not_done() {
    let off = Options { compression: false, ..Options::default() };
    for (ws, offer) in [(off, "permessage-deflate"), (Options::default(), "permessage-deflate; mystery")] {
        let node = node(Choices { ws, ..Choices::default() }).await;
        let mut raw = Raw::connect(&node, offer).await;
        assert_eq!(raw.extensions, None);
        raw.send(TEXT, br#"{"id":2,"subscribe":{"topic":"chat:1"}}"#).await;
        raw.next().await;
        publish(&node, Data::text("again ".repeat(1000))).await;
        assert_eq!(raw.next().await.0, TEXT);
        raw.send_compressed(b"{}").await;
        assert_eq!(raw.close_code().await, 1002);
    }
}

#[tokio::test]
async fn bombs_and_damage_end_their_own_connection() {
    let node = node(Choices::default()).await;
    let mut witness = node.connect("bob").await;
    let zeros = |mib: usize| {
        let mut bomb = compress_to_vec(&vec![b'0'; mib << 20], 9);
        bomb.push(0);
        bomb
    };
    // Before it has said who it is, a client has 16 KiB; these few make a mebibyte.
    let bomb = zeros(1);
    assert!(bomb.len() < 2000);
    let mut stranger = Raw::open(&node, "permessage-deflate").await;
    stranger.send(TEXT | RSV1, &bomb).await;
    assert_eq!(stranger.close_code().await, 1009);
    for (first, payload, code) in [
        (TEXT | RSV1, zeros(4), 1009),
        (TEXT | RSV1, b"\xff\xff\xff".to_vec(), 1007),
        (TEXT | RSV1, Vec::new(), 1007),
        (TEXT | RSV1, [&compress_to_vec(b"\"\xff\"", 6)[..], &[0]].concat(), 1007),
        (0x89 | RSV1, b"p".to_vec(), 1002),
        (0x80 | RSV1, b"p".to_vec(), 1002),
    ] {
        let mut raw = Raw::connect(&node, "permessage-deflate").await;
        raw.send(first, &payload).await;
        assert_eq!(raw.close_code().await, code, "{first:02x} {:02x?}", &payload[..payload.len().min(10)]);
    }
    assert_eq!(witness.ask("ping", json!({})).await["pong"], json!({}));
}
