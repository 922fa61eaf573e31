//! Doors for the fuzz targets, which stand outside this crate: each takes hostile bytes and panics if what must hold
//! does not.

use fanfare_session::client::Dialect as _;

use crate::dialects::FanfareJson;
use crate::frame::{Decoder, Event, Limits, Violation};

/// Reads `bytes` as a client's frames: the same comes out whatever pieces they arrive in.
pub fn frames(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    // A text's first byte is 0x81, so the pieces of its own choice are seldom small.
    for pieces in [1, bytes.first().map_or(1, |first| usize::from(*first) + 1)] {
        assert_eq!(decode(bytes, pieces), whole, "pieces must not matter");
    }
}

/// Reads `text` as a message of `fanfare.v1.json`: there is at least one answer to give, and never more than asked.
pub fn requests(text: &str) {
    const REQUESTS_MAX: usize = 256;
    let mut read = Vec::new();
    FanfareJson.read(text, REQUESTS_MAX, &mut read);
    assert!((1..=REQUESTS_MAX).contains(&read.len()), "{} requests", read.len());
}

fn decode(bytes: &[u8], pieces: usize) -> (Vec<Event>, Option<Violation>) {
    let limits = Limits { message_bytes_max: 64 * 1024, fragments_max: 64 };
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for mut piece in bytes.chunks(pieces) {
        loop {
            match decoder.next(&mut piece, limits) {
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
            super::requests(&String::from_utf8_lossy(&bytes));
        }
    }
}
