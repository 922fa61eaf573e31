//! As much of HTTP/2 (RFC 9113) as one gRPC stream needs from its client: a request, and the frames of the answer.
//!
//! Headers are written without compression, and those of the answer are not read: a refusal shows by what the stream
//! carries. Flow-control windows begin as wide as they can be, so that they need attention once in a gigabyte.

use anyhow::bail;

/// The widest window, and how much of it may be used before it is opened again.
const WINDOW: u32 = 0x7fff_ffff;
pub(crate) const WINDOW_USED_MAX: u32 = 1 << 30;
/// Of a connection, before anything is said.
const WINDOW_AT_FIRST: u32 = 0xffff;
/// The one stream.
const STREAM: u32 = 1;

/// What came in a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// The head of the answer, or, with `last`, its end.
    Head { last: bool },
    /// To be answered with [`settings_ack`].
    Settings,
    /// To be answered with [`ping_ack`].
    Ping([u8; 8]),
    /// The server ends the stream or the connection.
    End(&'static str),
    /// Nothing to do.
    Other,
}

/// The first frame in `input` and how many bytes it takes there; `None` if it is not all there.
pub(crate) fn next(input: &[u8]) -> anyhow::Result<Option<(Frame<'_>, usize)>> {
    let Some(&[a, b, c, kind, flags, ..]) = input.first_chunk::<9>() else { return Ok(None) };
    let whole = 9 + usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
    let Some(payload) = input.get(9..whole) else { return Ok(None) };
    let (end_stream, ack, padded) = (flags & 1 != 0, flags & 1 != 0, flags & 8 != 0);
    let frame = match kind {
        0 if padded => bail!("a padded frame"),
        0 => Frame::Data(payload),
        1 => Frame::Head { last: end_stream },
        3 => Frame::End("RST_STREAM"),
        4 if !ack => Frame::Settings,
        6 if !ack => match payload.first_chunk() {
            Some(opaque) => Frame::Ping(*opaque),
            None => bail!("a PING of {} bytes", payload.len()),
        },
        7 => Frame::End("GOAWAY"),
        _ => Frame::Other,
    };
    Ok(Some((frame, whole)))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Everything that a client says to call `path` with one message.
pub(crate) fn call(authority: &str, path: &str, token: &str, message: &[u8]) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_HEADER_TABLE_SIZE, SETTINGS_INITIAL_WINDOW_SIZE.
    let mut settings = [0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    settings[8..].copy_from_slice(&WINDOW.to_be_bytes());
    frame(4, 0, 0, &settings, &mut out);
    frame(8, 0, 0, &(WINDOW - WINDOW_AT_FIRST).to_be_bytes(), &mut out);
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &format!("Bearer {token}")),
    ] {
        // A literal without indexing, with a new name (RFC 7541 section 6.2.2).
        head.push(0);
        text(name, &mut head);
        text(value, &mut head);
    }
    // END_HEADERS; END_STREAM.
    frame(1, 4, STREAM, &head, &mut out);
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(message);
    frame(0, 1, STREAM, &body, &mut out);
    out
}

/// A string of a header, its length in a prefix of seven bits (RFC 7541 section 5.1).
fn text(value: &str, out: &mut Vec<u8>) {
    match u8::try_from(value.len()) {
        Ok(length) if length < 127 => out.push(length),
        _ => {
            out.push(127);
            let mut rest = value.len() - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap_or(0));
        }
    }
    out.extend_from_slice(value.as_bytes());
}

/// The settings of the server are noted.
pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    frame(4, 1, 0, &[], out);
}

/// The answer to a PING.
pub(crate) fn ping_ack(opaque: [u8; 8], out: &mut Vec<u8>) {
    frame(6, 1, 0, &opaque, out);
}

/// Opens the windows again after `used` bytes.
pub(crate) fn more(used: u32, out: &mut Vec<u8>) {
    for stream in [0, STREAM] {
        frame(8, 0, stream, &used.to_be_bytes(), out);
    }
}

/// The first gRPC message in `input` and how many bytes it takes there; `None` if it is not all there.
pub(crate) fn message(input: &[u8]) -> anyhow::Result<Option<(&[u8], usize)>> {
    let Some(&[compressed, a, b, c, d]) = input.first_chunk::<5>() else { return Ok(None) };
    if compressed != 0 {
        bail!("a compressed message, which was not asked for");
    }
    let whole = 5 + usize::try_from(u32::from_be_bytes([a, b, c, d]))?;
    Ok(input.get(5..whole).map(|message| (message, whole)))
}

/// `fanfare.v1.SubscribeRequest` for one topic from now on.
pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
    // A topic has 255 bytes at most; either length is a varint of one byte or two.
    let field = |payload: &[u8]| {
        let mut field = vec![0x0a];
        let mut length = payload.len();
        while length >= 128 {
            field.push(u8::try_from(length % 128).unwrap_or(0) | 128);
            length /= 128;
        }
        field.push(u8::try_from(length).unwrap_or(0));
        field.extend_from_slice(payload);
        field
    };
    field(&field(topic.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_when_they_are_whole() {
        let mut input = Vec::new();
        frame(0, 0, 1, b"abc", &mut input);
        let whole = input.len();
        input.extend_from_slice(&[0, 0]);
        for end in 0..whole {
            assert!(next(&input[..end]).unwrap().is_none());
        }
        assert_eq!(next(&input).unwrap(), Some((Frame::Data(b"abc"), whole)));
        let mut ping = Vec::new();
        frame(6, 0, 0, b"12345678", &mut ping);
        assert_eq!(next(&ping).unwrap().unwrap().0, Frame::Ping(*b"12345678"));
        ping_ack(*b"12345678", &mut ping);
        assert_eq!(next(&ping[17..]).unwrap().unwrap().0, Frame::Other);
    }

    #[test]
    fn a_call_is_made_of_whole_frames() {
        let call = call("h:1", "/a", &"t".repeat(300), b"message");
        let mut at = 24;
        let mut kinds = Vec::new();
        while at < call.len() {
            kinds.push(call[at + 3]);
            at += next(&call[at..]).unwrap().unwrap().1;
        }
        assert_eq!(kinds, [4, 8, 1, 0]);
        assert_eq!(message(&call[call.len() - 12..]).unwrap(), Some((&b"message"[..], 12)));
    }

    #[test]
    fn a_subscription_is_what_protobuf_makes_of_it() {
        assert_eq!(subscribe("ab"), [0x0a, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(subscribe(&"x".repeat(200)).len(), 200 + 3 + 3);
    }
}
