//! Chunks, the framing of HTTP/1.1 for bodies of unknown length (RFC 9112 section 7.1).

use std::io::Write as _;

/// Room for the line of a chunk's size: eight digits and the line's end.
const SIZE_ROOM: usize = 10;
/// What stands behind the bytes of a chunk.
pub(crate) const END: &[u8] = b"\r\n";
/// The chunk that ends a body. A body without it was cut off, which clients that use `fetch` are told as an error.
pub(crate) const LAST: &[u8] = b"0\r\n\r\n";

/// Writes a chunk of `bytes` to the end of `out`. There must be some: an empty chunk is the last one.
pub(crate) fn write(bytes: &[u8], out: &mut Vec<u8>) {
    debug_assert!(!bytes.is_empty(), "not the last chunk");
    write!(out, "{:x}\r\n", bytes.len()).expect("a Vec grows");
    out.extend_from_slice(bytes);
    out.extend_from_slice(END);
}

/// Begins a chunk in `out` in place of what is there: its bytes are written behind.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.resize(SIZE_ROOM, 0);
}

/// How many bytes were written since [`begin`].
pub(crate) fn len(out: &[u8]) -> usize {
    out.len() - SIZE_ROOM
}

/// The bytes that were written since [`begin`], without framing.
pub(crate) fn inside(out: &[u8]) -> &[u8] {
    &out[SIZE_ROOM..]
}

/// Puts the size in front of what was written since [`begin`] and of the `more` bytes that will be sent behind it. Says
/// where in `out` the chunk begins.
pub(crate) fn write_size(out: &mut [u8], more: usize) -> usize {
    let mut left = len(out) + more;
    let mut start = SIZE_ROOM - END.len();
    out[start..SIZE_ROOM].copy_from_slice(END);
    while start > 0 {
        start -= 1;
        out[start] = b"0123456789abcdef"[left & 0xf];
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    debug_assert_eq!(left, 0, "a chunk is smaller than 4 GiB");
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_all_its_bytes() {
        for (written, more) in [(0, 1), (1, 0), (15, 0), (16, 0), (255, 1), (4096, 1 << 20)] {
            let mut out = b"of the last one".to_vec();
            begin(&mut out);
            assert_eq!(len(&out), 0);
            out.extend(vec![b'x'; written]);
            let start = write_size(&mut out, more);
            let (line, bytes) = (&out[start..out.len() - written], inside(&out));
            assert_eq!(line, format!("{:x}\r\n", written + more).as_bytes());
            assert_eq!((bytes.len(), len(&out)), (written, written));
        }
    }
}
