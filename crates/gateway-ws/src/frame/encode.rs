//! Server frames: never masked, so that one frame serves every client.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{CONTROL_BYTES_MAX, Opcode};

const FIN: u8 = 0x80;
/// Of a message's first frame: the message is compressed (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;

/// Room for the longest header of a server frame. A message that is to become a frame is written after so many bytes.
pub(crate) const HEADER_ROOM: usize = 10;

/// Makes a frame of `buffer`, whose first [`HEADER_ROOM`] bytes are free and whose rest is the whole message.
pub(crate) fn finish(opcode: Opcode, buffer: Vec<u8>) -> Bytes {
    finish_with(FIN | opcode.bits(), buffer)
}

/// The same, given the frame's first byte.
pub(super) fn finish_with(first: u8, mut buffer: Vec<u8>) -> Bytes {
    let length = buffer.len().saturating_sub(HEADER_ROOM);
    let (header, used) = header(first, length);
    let start = HEADER_ROOM - used;
    buffer[start..HEADER_ROOM].copy_from_slice(&header[..used]);
    // What is shared by many readers for a while should not carry the slack of a buffer that has grown.
    buffer.shrink_to_fit();
    let mut frame = Bytes::from(buffer);
    frame.split_off(start)
}

/// The payload of a frame that was made here.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame[1] {
        126 => 4,
        127 => HEADER_ROOM,
        _ => 2,
    };
    &frame[header..]
}

/// A ping without content.
pub(crate) fn ping() -> Bytes {
    const FRAME: &[u8] = &[FIN | Opcode::Ping.bits(), 0];
    Bytes::from_static(FRAME)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, payload)
}

/// A close frame. The reason is cut to what fits.
pub(crate) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(Opcode::Close, &[]) };
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    control(Opcode::Close, &payload)
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let (header, used) = header(FIN | opcode.bits(), payload.len());
    let mut frame = BytesMut::with_capacity(used + payload.len());
    frame.put_slice(&header[..used]);
    frame.put_slice(payload);
    frame.freeze()
}

/// The header of an unfragmented frame, and how much of the array it uses.
fn header(first: u8, length: usize) -> ([u8; HEADER_ROOM], usize) {
    let mut header = [0; HEADER_ROOM];
    header[0] = first;
    let used = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => {
            header[1] = length;
            2
        }
        (_, Ok(length)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    (header, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_short_as_the_length_allows() {
        for (length, header) in [
            (0_usize, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut buffer = vec![0; HEADER_ROOM];
            buffer.resize(HEADER_ROOM + length, b'x');
            let frame = finish(Opcode::Text, buffer);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + length);
            assert!(frame[header.len()..].iter().all(|byte| *byte == b'x'));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close(Some(3001), &"ä".repeat(100));
        assert_eq!((frame[0], frame[1], &frame[2..4]), (0x88, 124, &[0x0b, 0xb9][..]));
        assert_eq!(std::str::from_utf8(&frame[4..]).unwrap(), "ä".repeat(61));
    }
}
