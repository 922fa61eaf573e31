//! Pieces of the `PostgreSQL` protocol, version 3.

use super::hints::Piece;

/// The message at the beginning of `bytes`, if all of it is there. The first thing that a server says may be a single
/// letter: whether it will speak TLS.
pub(super) fn piece(bytes: &[u8], is_first: bool) -> Option<Piece> {
    let kind = *bytes.first()?;
    if is_first && matches!(kind, b'N' | b'S') {
        return Some(Piece { length: 1, is_hint: false });
    }
    let length: [u8; 4] = bytes.get(1..5)?.try_into().ok()?;
    let length = 1 + usize::try_from(u32::from_be_bytes(length)).ok()?;
    (bytes.len() >= length).then_some(Piece { length, is_hint: kind == b'A' })
}
