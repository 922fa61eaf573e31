//! Clients that break rules, on a bare socket where a library would not let them.

use fanfare_gateway_ws::Options;
use fanfare_model::ByteSize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Choices, TestNode, node};

const HANDSHAKE: &str = "GET /v1/ws HTTP/1.1\r\nHost: push.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends the handshake with `bytes` right behind it, and returns all that comes after the head of the answer.
async fn after_handshake(node: &TestNode, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(&[HANDSHAKE.as_bytes(), bytes].concat()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(crate::support::PATIENCE, stream.read_to_end(&mut answer)).await.expect("the end").unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    answer.split_off(end)
}

/// A client's frame with the mask 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

fn close_code(bytes: &[u8]) -> u16 {
    assert_eq!(bytes[0], 0x88, "{bytes:?}");
    u16::from_be_bytes([bytes[2], bytes[3]])
}

#[tokio::test]
async fn violations_close_with_the_codes_of_the_rfc() {
    let node = node(Choices::default()).await;
    for (bytes, code) in [
        (frame(0xc1, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (b"\x81\x01x".to_vec(), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x09, b"x"), 1002),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x82, b"x"), 1003),
        (frame(0x81, b"\xff"), 1007),
        (vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        let answer = after_handshake(&node, &bytes).await;
        assert_eq!(close_code(&answer), code, "{bytes:02x?}");
    }
    node.sessions_are(0).await;
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_read() {
    let node = node(Choices::default()).await;
    let both = [frame(0x81, b"{\"id\":1,\"ping\":{}}"), frame(0x88, b"\x03\xe8")].concat();
    let answer = after_handshake(&node, &both).await;
    let pong = b"\x81\x12{\"id\":1,\"pong\":{}}";
    assert_eq!((&answer[..pong.len()], close_code(&answer[pong.len()..])), (&pong[..], 1000));
}

#[tokio::test]
async fn handshakes_that_are_none() {
    let node = node(Choices::default()).await;
    let status = async |headers: &[(&'static str, &str)]| match node.try_open(headers).await {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(status(&[("origin", "https://evil.example")]).await, 403);
    assert_eq!(status(&[("origin", &format!("http://{}", node.address))]).await, 101);
    assert_eq!(status(&[("sec-websocket-version", "12")]).await, 426);
    assert_eq!(status(&[("sec-websocket-protocol", "soap")]).await, 400);
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(b"GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("\"code\":\"upgrade_required\""), "{answer}");
}

#[tokio::test]
async fn before_it_is_connected_a_client_may_send_little() {
    let node = node(Choices::default()).await;
    let mut peer = node.open().await;
    peer.send("x".repeat(20 << 10)).await;
    assert_eq!(peer.closed().await, 1009);
    let mut peer = node.connect("alice").await;
    peer.send("x".repeat(20 << 10)).await;
    assert_eq!(peer.next().await["error"]["code"], "invalid_request");
}

#[tokio::test]
async fn connections_that_say_nothing_are_bounded() {
    let ws = Options { unconnected_max: 1, ..Options::default() };
    let node = node(Choices { ws, ..Choices::default() }).await;
    let mut first = node.open().await;
    let second = node.try_open(&[]).await.err().unwrap();
    assert!(matches!(second, tungstenite::Error::Http(response) if response.status() == 503));
    first.ask("connect", json!({"token": node.token("alice")})).await;
    node.connect("bob").await;
}

#[tokio::test]
async fn a_flood_of_commands_is_refused_and_then_sent_away() {
    let ws = Options { commands_per_second: 1, commands_burst: 5, ..Options::default() };
    let node = node(Choices { ws, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    peer.send("{\"ping\":{}}\n".repeat(100)).await;
    let mut said = Vec::new();
    loop {
        match peer.message().await {
            Message::Text(text) => said.push(text.as_str().to_owned()),
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 4007);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let count = |part: &str| said.iter().filter(|text| text.contains(part)).count();
    // The fifth of the burst was spent on connecting, unless that is a second ago. One more, and refusals that count anew,
    // for each second that a busy machine takes.
    assert!((4..20).contains(&count("pong")) && (6..50).contains(&count("\"error\"")), "{said:?}");
    assert_eq!(count("\"disconnect\""), 1, "{said:?}");
}

#[tokio::test]
async fn a_message_of_too_many_commands_is_refused_whole() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.send("{\"ping\":{}}\n".repeat(257)).await;
    assert_eq!(peer.next().await["error"]["code"], "invalid_request");
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let ws = Options { stall_timeout: fanfare_model::Duration::from_millis(1), ..Options::default() };
    let session = fanfare_session::Options {
        ping_interval: fanfare_model::Duration::from_secs(1),
        ..fanfare_session::Options::default()
    };
    let node = node(Choices { ws, session, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    let big = fanfare_model::Data::text("x".repeat(ByteSize::kib(512).as_usize()));
    for _ in 0..64 {
        let topic = fanfare_model::Topic::new("chat:1").unwrap();
        let draft = fanfare_model::Draft::new(big.clone());
        node.node.bus.publish(&fanfare_model::Tenant::default(), vec![(topic, draft)]).await.unwrap();
    }
    // It is not read any more, and after two visits of the registry it is gone.
    node.sessions_are(0).await;
}
