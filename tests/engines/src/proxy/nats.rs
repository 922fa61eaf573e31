//! Pieces of the NATS protocol.

use super::hints::Piece;

/// The operation at the beginning of `bytes`, if all of it is there.
pub(super) fn piece(bytes: &[u8]) -> Option<Piece> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let mut words = bytes[..end - 2].split(|byte| *byte == b' ');
    let operation = words.next()?;
    if operation != b"MSG" && operation != b"HMSG" {
        return Some(Piece { length: end, is_hint: false });
    }
    let is_hint = !words.next()?.starts_with(b"_INBOX");
    // The last word is the length of all that follows, in both operations.
    let body: usize = std::str::from_utf8(words.next_back()?).ok()?.parse().ok()?;
    let length = end + body + 2;
    (bytes.len() >= length).then_some(Piece { length, is_hint })
}
