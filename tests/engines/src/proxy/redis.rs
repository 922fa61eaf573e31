//! Pieces of RESP2 and RESP3.

use super::hints::Piece;

/// The value at the beginning of `bytes`, if all of it is there.
pub(super) fn piece(bytes: &[u8]) -> Option<Piece> {
    let length = value(bytes)?;
    Some(Piece { length, is_hint: is_message(&bytes[..length]) })
}

/// An array or push whose first member is the word for a message.
fn is_message(value: &[u8]) -> bool {
    let Some((head, body)) = line(value) else { return false };
    if !matches!(head.first(), Some(b'*' | b'>')) {
        return false;
    }
    let word = line(body).and_then(|(_, rest)| line(rest)).map(|(word, _)| word);
    matches!(word, Some(b"message" | b"smessage" | b"pmessage"))
}

/// The length of a whole value.
fn value(bytes: &[u8]) -> Option<usize> {
    let (head, rest) = line(bytes)?;
    let begin = bytes.len() - rest.len();
    let number = || std::str::from_utf8(head.get(1..)?).ok()?.parse::<i64>().ok();
    let members = match head.first()? {
        b'$' | b'!' | b'=' => {
            // -1 is RESP2's null, which has no body.
            let Ok(length) = usize::try_from(number()?) else { return Some(begin) };
            let end = begin + length + 2;
            return (bytes.len() >= end).then_some(end);
        }
        b'*' | b'~' | b'>' => number()?,
        b'%' => number()? * 2,
        // What it says of the value that follows, and that value.
        b'|' => number()? * 2 + 1,
        _ => return Some(begin),
    };
    let mut end = begin;
    for _ in 0..members {
        end += value(&bytes[end..])?;
    }
    Some(end)
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}
