//! Frames that break RFC 6455 or a limit: each closes its own connection with the right code, and harms nobody.

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Frame, RawWs, Server, fresh_topic, within, ws};
use serde_json::{Value, json};

/// A raw connection that has said `connect`.
async fn connected(server: &Server) -> RawWs {
    let mut raw = RawWs::connect(server.public()).await;
    let connect = json!({"id": 1, "connect": {"token": Token::client().mint()}});
    raw.send(&Frame::text(connect.to_string())).await.expect("open");
    let reply = within("a reply", raw.receive()).await.expect("open").expect("open");
    let reply: Value = serde_json::from_slice(&reply.payload).expect("JSON");
    assert!(reply.get("connected").is_some(), "{reply}");
    raw
}

fn frame(fin: bool, opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
    Frame { fin, reserved: 0, opcode, masked: true, payload: payload.into() }
}

#[tokio::test]
async fn violations_close_with_their_code() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("frames");
    let mut witness = ws::connect(server.public(), &Token::client().mint()).await;
    witness.subscribe(&topic, "now").await;

    // A length in a form longer than it needs to be, and one of more than 63 bits.
    let padded_length = b"\x81\xfe\x00\x01\0\0\0\0x".to_vec();
    let huge_length = b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", Frame { masked: false, ..Frame::text("{}") }.bytes(), 1002),
        ("a reserved bit", Frame { reserved: 4, ..Frame::text("{}") }.bytes(), 1002),
        ("an unknown opcode", frame(true, 3, "x").bytes(), 1002),
        ("an unknown control opcode", frame(true, 11, "x").bytes(), 1002),
        ("a control frame in fragments", frame(false, 9, "x").bytes(), 1002),
        ("a control frame too long", frame(true, 9, vec![0; 126]).bytes(), 1002),
        ("a continuation of nothing", frame(true, 0, "x").bytes(), 1002),
        ("a message in a message", [frame(false, 1, "{").bytes(), frame(true, 1, "}").bytes()].concat(), 1002),
        ("a close of one byte", frame(true, 8, [3]).bytes(), 1002),
        ("a close code that is not for wires", frame(true, 8, 1005_u16.to_be_bytes()).bytes(), 1002),
        ("a close reason that is not UTF-8", frame(true, 8, b"\x03\xe8\xff".to_vec()).bytes(), 1007),
        ("a padded length", padded_length, 1002),
        ("a length of 64 bits", huge_length, 1002),
        ("a binary message", frame(true, 2, "{}").bytes(), 1003),
        ("text that is not UTF-8", frame(true, 1, b"{\"x\":\"\xff\"}".to_vec()).bytes(), 1007),
        ("half a character", frame(true, 1, b"\"\xf0\x9f".to_vec()).bytes(), 1007),
        (
            "half a character over fragments",
            [frame(false, 1, b"\"\xf0\x9f".to_vec()).bytes(), frame(true, 0, "x\"").bytes()].concat(),
            1007,
        ),
        (
            "an announced length beyond the limit",
            [&b"\x81\xff"[..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat(),
            1009,
        ),
        ("a message beyond the limit", frame(true, 1, vec![b' '; 2 << 20]).bytes(), 1009),
    ];
    for (what, bytes, code) in cases {
        let mut raw = connected(&server).await;
        // The server may close before it has read it all.
        let _ = raw.write(&bytes).await;
        let closed = within(what, raw.close_code()).await;
        if bytes.len() < 1 << 20 {
            assert_eq!(closed, Some(code), "{what}");
        } else {
            // What was not read may turn the close frame into a reset.
            assert!(closed.is_none_or(|closed| closed == code), "{what}: {closed:?}");
        }
    }

    server.api().publish_text(&topic, "undisturbed").await;
    assert_eq!(witness.event().await["data"], "undisturbed");
}

#[tokio::test]
async fn fragments_are_put_together_and_counted() {
    let server = Server::start(Config::new()).await;
    let mut raw = connected(&server).await;
    let command = json!({"id": 7, "ping": {}}).to_string();
    let (first, rest) = command.split_at(3);
    let (second, third) = rest.split_at(4);
    raw.send(&frame(false, 1, first)).await.expect("open");
    // A control frame may come between fragments.
    raw.send(&frame(true, 9, "between")).await.expect("open");
    raw.send(&frame(false, 0, second)).await.expect("open");
    raw.send(&frame(false, 0, "")).await.expect("open");
    raw.send(&frame(true, 0, third)).await.expect("open");
    let pong = within("a pong", raw.receive()).await.expect("open").expect("open");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (10, &b"between"[..]));
    let reply = within("a reply", raw.receive()).await.expect("open").expect("open");
    assert_eq!(serde_json::from_slice::<Value>(&reply.payload).expect("JSON"), json!({"id": 7, "pong": {}}));

    // An endless message of tiny fragments.
    raw.send(&frame(false, 1, " ")).await.expect("open");
    for _ in 0..200 {
        if raw.send(&frame(false, 0, " ")).await.is_err() {
            break;
        }
    }
    let code = within("the end", raw.close_code()).await;
    assert!(code.is_none_or(|code| code == 1008), "{code:?}");
}

#[tokio::test]
async fn a_frame_byte_by_byte() {
    let server = Server::start(Config::new()).await;
    let mut raw = connected(&server).await;
    for byte in Frame::text(json!({"id": 8, "ping": {}}).to_string()).bytes() {
        raw.write(&[byte]).await.expect("open");
    }
    let reply = within("a reply", raw.receive()).await.expect("open").expect("open");
    assert_eq!(serde_json::from_slice::<Value>(&reply.payload).expect("JSON")["id"], 8);
}

#[tokio::test]
async fn a_polite_close_is_answered() {
    let server = Server::start(Config::new()).await;
    let mut raw = connected(&server).await;
    raw.send(&frame(true, 8, 1000_u16.to_be_bytes())).await.expect("open");
    assert_eq!(within("the answer", raw.close_code()).await, Some(1000));
    assert_eq!(within("the end", raw.receive()).await.expect("a clean end"), None);
}

#[tokio::test]
async fn before_connect_only_little_is_taken() {
    let server = Server::start(Config::new()).await;
    let mut raw = RawWs::connect(server.public()).await;
    let _ = raw.send(&frame(true, 1, vec![b' '; 64 * 1024])).await;
    let code = within("the end", raw.close_code()).await;
    assert!(code.is_none_or(|code| code == 1009), "{code:?}");
}
