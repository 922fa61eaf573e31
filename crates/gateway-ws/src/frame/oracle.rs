//! Against tungstenite as oracle, and against hostile bytes.

use std::io::Cursor;

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, WebSocket};

use super::{Close, Decoder, Event, HEADER_ROOM, Limits, Opcode, close, finish, ping, pong};

const LIMITS: Limits = Limits { message_bytes_max: 70_000, fragments_max: 16 };

/// What a client may do with a text.
#[derive(Debug, Clone)]
enum Act {
    Text(String, Vec<prop::sample::Index>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let text = prop_oneof![".{0,20}", "[a-zä€𝄞]{120,130}", Just("€".repeat(22_000))];
    prop_oneof![
        (text, prop::collection::vec(any::<prop::sample::Index>(), 0..4)).prop_map(|(t, cuts)| Act::Text(t, cuts)),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(Act::Ping),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(Act::Pong),
    ]
}

/// The frames of an act, as tungstenite writes them: a text cut at any bytes, with a ping in between.
fn write(act: &Act, mask: [u8; 4], out: &mut Vec<u8>, expected: &mut Vec<Event>) {
    let mut send = |opcode: OpCode, fin: bool, payload: &[u8]| {
        let header = FrameHeader { is_final: fin, opcode, mask: Some(mask), ..FrameHeader::default() };
        Frame::from_payload(header, Bytes::copy_from_slice(payload)).format(out).unwrap();
    };
    match act {
        Act::Ping(payload) => {
            send(OpCode::Control(Control::Ping), true, payload);
            expected.push(Event::Ping(payload.clone()));
        }
        Act::Pong(payload) => {
            send(OpCode::Control(Control::Pong), true, payload);
            expected.push(Event::Pong);
        }
        Act::Text(text, cuts) => {
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            ends.push(text.len());
            ends.sort_unstable();
            let (mut begin, last) = (0, ends.len() - 1);
            for (at, end) in ends.into_iter().enumerate() {
                let data = if at == 0 { Data::Text } else { Data::Continue };
                send(OpCode::Data(data), at == last, &text.as_bytes()[begin..end]);
                if at < last {
                    send(OpCode::Control(Control::Ping), true, b"between");
                    expected.push(Event::Ping(b"between".to_vec()));
                }
                begin = end;
            }
            expected.push(Event::Text(text.clone()));
        }
    }
}

/// All that our decoder says, given pieces of `step`, and whether it refused.
fn ours(bytes: &[u8], step: usize) -> (Vec<Event>, bool) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for mut piece in bytes.chunks(step.max(1)) {
        loop {
            match decoder.next(&mut piece, LIMITS) {
                Ok(Some(event @ Event::Close(_))) => {
                    events.push(event);
                    return (events, false);
                }
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return (events, true),
            }
        }
    }
    (events, false)
}

/// What tungstenite says to the same bytes.
fn theirs(bytes: &[u8]) -> (Vec<Event>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMITS.message_bytes_max));
    let mut socket = WebSocket::from_raw_socket(Stream(Cursor::new(bytes.to_vec())), Role::Server, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Ping(payload)) => Event::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Event::Pong,
            Ok(Message::Close(frame)) => {
                events.push(Event::Close(Close { code: frame.map(|f| f.code.into()) }));
                return (events, false);
            }
            // The end of the bytes is not a refusal.
            Err(tokio_tungstenite::tungstenite::Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (events, false),
            // We take no binary messages.
            Ok(Message::Binary(_) | Message::Frame(_)) | Err(_) => return (events, true),
        });
    }
}

/// Reads from a cursor; what is written is thrown away.
struct Stream(Cursor<Vec<u8>>);

impl std::io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn what_tungstenite_writes_is_read(acts in prop::collection::vec(act(), 0..8), mask: [u8; 4], step in 1_usize..5000) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for act in &acts {
            write(act, mask, &mut bytes, &mut expected);
        }
        prop_assert_eq!(ours(&bytes, step), (expected.clone(), false));
        prop_assert_eq!(theirs(&bytes), (expected, false));
    }

    #[test]
    fn what_we_write_is_read_by_tungstenite(text in prop_oneof![".{0,80}", Just("€".repeat(30_000))], code in 3000_u16..5000, reason in ".{0,90}") {
        let mut buffer = vec![0; HEADER_ROOM];
        buffer.extend_from_slice(text.as_bytes());
        let bytes = [&finish(Opcode::Text, buffer)[..], &ping(), &pong(b"p"), &close(Some(code), &reason)].concat();
        let mut socket = WebSocket::from_raw_socket(Stream(Cursor::new(bytes)), Role::Client, None);
        prop_assert_eq!(socket.read().unwrap(), Message::text(text));
        prop_assert_eq!(socket.read().unwrap(), Message::Ping(Bytes::new()));
        prop_assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::from_static(b"p")));
        let Message::Close(Some(CloseFrame { code: read, reason: said })) = socket.read().unwrap() else { panic!("no close") };
        prop_assert_eq!(read, CloseCode::from(code));
        prop_assert!(reason.starts_with(said.as_str()));
    }

    /// Random headers over random bytes: the same whatever the pieces, never a panic, and what we accept
    /// tungstenite accepts too and reads the same.
    #[test]
    fn hostile_frames(frames in prop::collection::vec((any::<u8>(), 0_u8..128, prop::collection::vec(any::<u8>(), 0..40)), 0..6), step in 1_usize..64) {
        let mut bytes = Vec::new();
        for (first, length, rest) in frames {
            // Mostly plausible: a known opcode and a length that fits.
            bytes.push(first & 0x8f);
            bytes.push(0x80 | if length > 60 { length } else { u8::try_from(rest.len()).unwrap() });
            bytes.extend([0, 0, 0, 0]);
            bytes.extend(rest);
        }
        let whole = ours(&bytes, bytes.len());
        prop_assert_eq!(&ours(&bytes, step), &whole);
        let (events, refused) = theirs(&bytes);
        if whole.1 {
            prop_assert!(events.starts_with(&whole.0) || whole.0.starts_with(&events));
        } else {
            prop_assert!(!refused, "tungstenite refuses what we accept");
            prop_assert_eq!(&events, &whole.0);
        }
    }

    #[test]
    fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1_usize..64) {
        prop_assert_eq!(ours(&bytes, step), ours(&bytes, bytes.len()));
    }
}
