//! Messages compressed with DEFLATE (RFC 7692 section 7), each by itself: nothing is remembered from one to the next,
//! in either direction. So a compressed frame serves every client, and a connection owns no context.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;
use super::encode::{HEADER_ROOM, RSV1, finish_with, payload};

/// What we write refers back over 2¹² bytes at most. Events as JSON become no larger for it than with the usual 2¹⁵
/// (docs/adr/0008), and clients that ask for a small window can have the same frame.
pub(crate) const WINDOW_BITS: u8 = 12;
/// How hard we try. Beyond 4, events as JSON become smaller by a fiftieth, at half as much time again.
const LEVEL: u32 = 4;
/// What a flush ends with and the sender leaves out (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// What is put back behind a message: that, and an empty last block, by which it is seen that the message was whole.
const END: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];
/// How much room an inflated message is given at first, in multiples of what has come: what is usual for JSON.
const RATIO: usize = 4;

thread_local! {
    /// For every message of the thread in turn.
    static COMPRESS: RefCell<Compress> = RefCell::new(context());
    /// Likewise.
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

fn context() -> Compress {
    Compress::new_with_window_bits(Compression::new(LEVEL), false, WINDOW_BITS)
}

/// The same message as `frame`, which is plain and whole, compressed. `None` if it does not become smaller.
pub(crate) fn deflate(frame: &[u8]) -> Option<Bytes> {
    let payload = payload(frame);
    // Room for what it may become at worst, as zlib reckons: a context that is left before it has handed out all that
    // it has (zlib-rs 0.6) does not forget that when it is reset, and panics some messages later.
    let room = HEADER_ROOM + payload.len() + payload.len() / 8 + payload.len() / 64 + 64;
    let mut buffer = Vec::with_capacity(room);
    buffer.resize(HEADER_ROOM, 0);
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let status = compress.compress_vec(payload, &mut buffer, FlushCompress::Sync);
        let whole = status.is_ok() && buffer.len() < buffer.capacity() && buffer.ends_with(&TAIL);
        if !whole {
            *compress = context();
        }
        whole.then_some(())
    })?;
    buffer.truncate(buffer.len() - TAIL.len());
    (buffer.len() - HEADER_ROOM < payload.len()).then(|| finish_with(frame[0] | RSV1, buffer))
}

/// Undoes the compression of a message. It is given up as soon as it has more than `bytes_max` bytes: whatever a
/// message expands to, no more than that is ever made of it.
pub(super) fn inflate(message: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(false);
        let mut out = Vec::with_capacity(message.len().saturating_mul(RATIO).min(bytes_max).saturating_add(1));
        // Whether what has come ends with a block that says that it is the last.
        let mut ended = false;
        for mut input in [message, &END] {
            while !input.is_empty() {
                // More may come after a last block (RFC 7692 section 7.2.3.4).
                if std::mem::take(&mut ended) {
                    inflate.reset(false);
                }
                if out.len() == out.capacity() {
                    // One more than is allowed, to see that it is too much.
                    out.reserve_exact(out.len().min((bytes_max - out.len()).saturating_add(1)));
                }
                let (taken, made) = (inflate.total_in(), out.len());
                let status = inflate
                    .decompress_vec(input, &mut out, FlushDecompress::None)
                    .map_err(|_| Violation::BadDeflate)?;
                let taken = usize::try_from(inflate.total_in() - taken).map_err(|_| Violation::BadDeflate)?;
                input = &input[taken..];
                ended = status == Status::StreamEnd;
                if out.len() > bytes_max {
                    return Err(Violation::TooLarge);
                }
                if !ended && taken == 0 && out.len() == made {
                    return Err(Violation::BadDeflate);
                }
            }
        }
        if ended { Ok(out) } else { Err(Violation::BadDeflate) }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use miniz_oxide::deflate::core::{CompressionStrategy, CompressorOxide};
    use miniz_oxide::deflate::stream;
    use miniz_oxide::inflate::decompress_to_vec_with_limit;
    use miniz_oxide::{DataFormat, MZFlush};
    use proptest::prelude::*;

    use super::super::{Opcode, finish};
    use super::*;

    const BYTES_MAX: usize = 100_000;

    fn compressor(level: u8) -> CompressorOxide {
        CompressorOxide::with_params(DataFormat::Raw, level, CompressionStrategy::Default, 15)
    }

    /// A message as another implementation compresses it for the wire.
    pub(in super::super) fn compressed(message: &[u8], level: u8) -> Vec<u8> {
        let mut context = compressor(level);
        let mut out = vec![0; message.len() * 2 + 64];
        let done = stream::deflate(&mut context, message, &mut out, MZFlush::Sync);
        assert_eq!(done.bytes_consumed, message.len());
        out.truncate(done.bytes_written);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    fn plain(message: &[u8]) -> Bytes {
        finish(Opcode::Text, [&[0; HEADER_ROOM], message].concat())
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::collection::vec("[a-c]{1,3}|[a-z€ ]{0,30}", 0..400).prop_map(|words| words.concat().into());
        prop_oneof![words, prop::collection::vec(any::<u8>(), 0..5000), (0..90_000_usize).prop_map(|n| vec![7; n])]
    }

    proptest! {
        #[test]
        fn what_others_compress_is_read(message in text(), level in 0_u8..=10) {
            prop_assert_eq!(inflate(&compressed(&message, level), BYTES_MAX), Ok(message));
        }

        #[test]
        fn what_we_compress_is_read_by_others(message in text()) {
            let plain = plain(&message);
            if let Some(frame) = deflate(&plain) {
                prop_assert_eq!(frame[0], 0xc1);
                prop_assert!(frame.len() < plain.len());
                let whole = [payload(&frame), &END].concat();
                prop_assert_eq!(decompress_to_vec_with_limit(&whole, BYTES_MAX).unwrap(), message);
            }
        }

        /// Never a panic, never more than allowed; and what is refused says nothing about the next message.
        #[test]
        fn hostile_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..300), message in text(), flip in any::<prop::sample::Index>()) {
            if let Ok(made) = inflate(&bytes, 1000) {
                prop_assert!(made.len() <= 1000);
            }
            bytes = compressed(&message, 6);
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x10;
            let _ = inflate(&bytes, BYTES_MAX);
            bytes[at] ^= 0x10;
            prop_assert_eq!(inflate(&bytes, BYTES_MAX), Ok(message));
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // Section 7.2.3: one block; without compression; a last block; two blocks; an empty message.
        for message in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(message, 5), Ok(b"Hello".to_vec()), "{message:02x?}");
            assert_eq!(inflate(message, 4), Err(Violation::TooLarge), "{message:02x?}");
        }
        assert_eq!(inflate(&[0], 0), Ok(Vec::new()));
    }

    #[test]
    fn what_is_cut_short_or_refers_to_an_earlier_message_is_refused() {
        let whole = compressed(&b"a message that says a message".repeat(20), 6);
        for end in 0..whole.len() {
            assert_eq!(inflate(&whole[..end], BYTES_MAX), Err(Violation::BadDeflate), "{end} bytes");
        }
        let mut context = compressor(6);
        let mut taken_over = Vec::new();
        for _ in 0..2 {
            taken_over = vec![0; 1000];
            let done = stream::deflate(&mut context, b"the same words again and again", &mut taken_over, MZFlush::Sync);
            taken_over.truncate(done.bytes_written - TAIL.len());
        }
        assert_eq!(inflate(&taken_over, BYTES_MAX), Err(Violation::BadDeflate));
    }

    #[test]
    fn a_bomb_costs_no_more_than_a_message_may() {
        const MIB: usize = 1 << 20;
        // A mebibyte of zeros that refers to nothing before it, a thousand times: 1 MiB that means 1 GiB.
        let mut context = Compress::new(Compression::best(), false);
        let mut block = Vec::with_capacity(64 * 1024);
        context.compress_vec(&vec![0; MIB], &mut block, FlushCompress::Full).unwrap();
        let bomb = block.repeat(1000);
        assert!(bomb.len() < MIB + MIB / 16, "{}", bomb.len());
        for bytes_max in [1000, 16 * 1024, MIB] {
            assert_eq!(inflate(&bomb, bytes_max), Err(Violation::TooLarge));
            let made = INFLATE.with_borrow(Decompress::total_out);
            assert!(made <= bytes_max as u64 + 1, "{made} bytes were made");
        }
    }

    #[test]
    fn what_does_not_become_smaller_stays_plain() {
        let mut random = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random.to_be_bytes()[0]
        })
        .take(70_000)
        .collect();
        // Often enough that what one of them left behind would be in the way of another.
        for length in [0, 1, 5, 100, 1000, 70_000, 10_000].repeat(20) {
            assert_eq!(deflate(&plain(&noise[..length])), None, "{length}");
        }
        // The tail of a flush in the text is not taken for the end of one.
        assert_eq!(deflate(&plain(&[&noise[..50], &TAIL].concat())), None);
    }

    #[test]
    fn it_refers_back_no_further_than_agreed() {
        let message: Vec<u8> = (0..40_000_u32).flat_map(|n| (n % 5000).to_be_bytes()).collect();
        let frame = deflate(&plain(&message)).unwrap();
        let mut small = Decompress::new_with_window_bits(false, WINDOW_BITS);
        let mut out = Vec::with_capacity(message.len() + 1);
        // In pieces: a whole output buffer would serve as window.
        for piece in payload(&frame).chunks(100) {
            let mut piece = piece;
            while !piece.is_empty() {
                let (taken, mut part) = (small.total_in(), Vec::with_capacity(64));
                small.decompress_vec(piece, &mut part, FlushDecompress::None).unwrap();
                out.extend(part);
                piece = &piece[usize::try_from(small.total_in() - taken).unwrap()..];
            }
        }
        assert!(message.starts_with(&out) && out.len() + 100 > message.len(), "{} bytes", out.len());
    }
}
