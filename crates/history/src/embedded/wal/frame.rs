//! The form of the write-ahead log: what one write puts on the disk.
//!
//! A file begins with a head of 32 bytes (magic, its number, a secret, a checksum) and continues with frames. A
//! frame is there as a whole or not at all:
//!
//! | bytes | |
//! |---|---|
//! | 4 | magic |
//! | 4 | checksum of the next 24 bytes |
//! | 8 | length of the payload; the highest bit says that the file ends here and goes on in the next one |
//! | 8 | number of the frame, increasing over all files |
//! | 8 | up to where this file was known to be on the disk when the frame was written |
//! | … | payload |
//! | 8 | checksum of all before it |
//!
//! Checksums are seeded with the file's secret and the frame's place, so that what a file held in a former life,
//! or what a publisher has put into an event, is never taken for a frame.

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) const FILE_HEAD: usize = 32;
const FILE_MAGIC: &[u8; 8] = b"FanfWAL2";
pub(super) const FRAME_MAGIC: &[u8; 4] = b"\xfaFr2";
const FRAME_HEAD: usize = 32;
const SUM: usize = 8;
const END: u64 = 1 << 63;

/// Which file, and the secret in its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) number: u64,
    pub(super) secret: u64,
}

impl FileHead {
    pub(super) fn encode(self) -> [u8; FILE_HEAD] {
        let mut bytes = [0; FILE_HEAD];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.secret.to_le_bytes());
        let sum = xxh3_64_with_seed(&bytes[..24], 0);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` if this is not the head of such a file.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FILE_HEAD] = bytes.first_chunk()?;
        let whole = bytes.starts_with(FILE_MAGIC) && xxh3_64_with_seed(&bytes[..24], 0) == number(bytes, 24);
        whole.then(|| Self { number: number(bytes, 8), secret: number(bytes, 16) })
    }

    fn seed(self, position: u64) -> u64 {
        self.secret ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

/// The payload of a frame that is being made, with room for its head.
#[derive(Debug)]
pub(in crate::embedded) struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    pub(in crate::embedded) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEAD] }
    }

    pub(in crate::embedded) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEAD
    }

    /// Where the payload is written to.
    pub(in crate::embedded) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Empties it. A buffer that has become larger than `bytes_max` is given back.
    pub(in crate::embedded) fn clear(&mut self, bytes_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(bytes_max);
        self.bytes.resize(FRAME_HEAD, 0);
    }

    /// Completes it for its place; returns what is to be written there.
    pub(super) fn seal(&mut self, file: FileHead, position: u64, head: Head) -> &[u8] {
        let seed = file.seed(position);
        let length = (self.bytes.len() - FRAME_HEAD) as u64 | if head.ends { END } else { 0 };
        self.bytes[..4].copy_from_slice(FRAME_MAGIC);
        for (at, number) in [(8, length), (16, head.number), (24, head.synced)] {
            self.bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let sum = head_sum(&self.bytes, seed);
        self.bytes[4..8].copy_from_slice(&sum);
        let sum = xxh3_64_with_seed(&self.bytes, seed);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        &self.bytes
    }
}

fn head_sum(frame: &[u8], seed: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(&frame[8..FRAME_HEAD], seed).to_le_bytes();
    [a, b, c, d]
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) synced: u64,
    /// Whether it is the last of its file.
    pub(super) ends: bool,
}

/// The frame that begins at `position` of a file, if there is a whole one: its head, its payload and where the
/// next one begins.
pub(super) fn read(file: FileHead, bytes: &[u8], position: usize) -> Option<(Head, &[u8], usize)> {
    let frame = bytes.get(position..)?;
    let seed = file.seed(position as u64);
    if frame.len() < FRAME_HEAD + SUM || !frame.starts_with(FRAME_MAGIC) || frame[4..8] != head_sum(frame, seed) {
        return None;
    }
    let length = number(frame, 8);
    let end = usize::try_from(length & !END).ok()?.checked_add(FRAME_HEAD)?;
    let sum = frame.get(end..end.checked_add(SUM)?)?;
    if xxh3_64_with_seed(&frame[..end], seed).to_le_bytes() != *sum {
        return None;
    }
    let head = Head { number: number(frame, 16), synced: number(frame, 24), ends: length & END != 0 };
    Some((head, &frame[FRAME_HEAD..end], position + end + SUM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_only_whole_and_in_its_place() {
        let file = FileHead { number: 3, secret: 99 };
        assert_eq!(FileHead::decode(&file.encode()), Some(file));
        let head = Head { number: 7, synced: 32, ends: false };
        let mut frame = Frame::new();
        assert!(frame.is_empty());
        frame.payload().extend_from_slice(b"payload");
        let written = frame.seal(file, 32, head).to_vec();
        let mut bytes = file.encode().to_vec();
        bytes.extend_from_slice(&written);
        assert_eq!(read(file, &bytes, 32), Some((head, &b"payload"[..], bytes.len())));
        for at in 0..bytes.len() {
            assert_eq!(read(file, &bytes[..at], 32), None, "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            if at < FILE_HEAD {
                assert_eq!(FileHead::decode(&damaged), None, "byte {at}");
            } else {
                assert_eq!(read(file, &damaged, 32), None, "byte {at}");
            }
        }
        assert_eq!(read(FileHead { secret: 98, ..file }, &bytes, 32), None, "of a former life");
        bytes.insert(32, 0);
        assert_eq!(read(file, &bytes, 33), None, "in another place");
        frame.clear(0);
        assert!(frame.is_empty());
        let end = Head { ends: true, ..head };
        let written = frame.seal(file, 0, end).to_vec();
        assert_eq!(read(file, &written, 0), Some((end, &b""[..], written.len())));
    }
}
