//! Doors for the fuzz targets, which stand outside this crate: each takes hostile bytes and panics if what must hold
//! does not.

use fanfare_session::client::{Dialect as _, Payload};

use crate::dialects::FanfareJson;
use crate::frame::{self, Agreed, Decoder, Event, HEADER_ROOM, Limits, Opcode, Violation};

/// Reads `bytes` as a client's frames: the same comes out whatever pieces they arrive in.
pub fn frames(bytes: &[u8]) {
    for agreed in [Agreed::default(), Agreed { deflate: true, binary: true }] {
        let whole = decode(agreed, bytes, bytes.len().max(1));
        // A text's first byte is 0x81, so the pieces of its own choice are seldom small.
        for pieces in [1, bytes.first().map_or(1, |first| usize::from(*first) + 1)] {
            assert_eq!(decode(agreed, bytes, pieces), whole, "pieces must not matter");
        }
    }
}

/// Takes `bytes` for a compressed message, and what it says, or the bytes themselves, for a message of ours: no more
/// is made of it than is allowed, and what we compress is read as it was.
pub fn compressed(bytes: &[u8]) {
    const AGREED: Agreed = Agreed { deflate: true, binary: true };
    let said = match decode(AGREED, &masked(RSV1_BINARY, bytes), usize::MAX) {
        (events, Some(_)) if events.is_empty() => bytes.to_vec(),
        (events, None) => match events.as_slice() {
            [Event::Binary(said)] => said.clone(),
            other => panic!("not one message: {other:?}"),
        },
        other => panic!("something and a violation: {other:?}"),
    };
    assert!(said.len() <= LIMITS.message_bytes_max.max(bytes.len()));
    if said.len() > LIMITS.message_bytes_max {
        return;
    }
    let plain = frame::finish(Opcode::Binary, [&[0; HEADER_ROOM], &said[..]].concat());
    if let Some(frame) = frame::deflate(&plain) {
        assert!(frame.len() < plain.len(), "it pays");
        let read = decode(AGREED, &masked(frame[0], frame::payload(&frame)), usize::MAX);
        assert_eq!(read, (vec![Event::Binary(said)], None), "what was compressed is read as it was");
    }
}

/// The first byte of a binary message that is compressed.
const RSV1_BINARY: u8 = 0xc2;

/// A client's frame with the mask 0.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_be_bytes();
    let length = match payload.len() {
        0..126 => vec![0x80 | length[7]],
        126..0x1_0000 => [&[0xfe], &length[6..]].concat(),
        _ => [&[0xff], &length[..]].concat(),
    };
    [&[first], &length[..], &[0; 4], payload].concat()
}

/// Reads `text` as a message of `fanfare.v1.json`: there is at least one answer to give, and never more than asked.
pub fn requests(text: &str) {
    const REQUESTS_MAX: usize = 256;
    let mut read = Vec::new();
    FanfareJson::default().read(Payload::Text(text), REQUESTS_MAX, &mut read);
    assert!((1..=REQUESTS_MAX).contains(&read.len()), "{} requests", read.len());
}

const LIMITS: Limits = Limits { message_bytes_max: 64 * 1024, fragments_max: 64 };

fn decode(agreed: Agreed, bytes: &[u8], pieces: usize) -> (Vec<Event>, Option<Violation>) {
    let (mut decoder, mut events) = (Decoder::new(agreed), Vec::new());
    for mut piece in bytes.chunks(pieces) {
        loop {
            match decoder.next(&mut piece, LIMITS) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_doors_hold(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            super::frames(&bytes);
            super::compressed(&bytes);
            super::requests(&String::from_utf8_lossy(&bytes));
        }
    }
}
