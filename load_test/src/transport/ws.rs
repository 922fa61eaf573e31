//! Frames of a WebSocket (RFC 6455 section 5), as a client reads and writes them.

use anyhow::bail;

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// Whether its message ends with it.
    pub(crate) last: bool,
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The first frame in `input` and how many bytes it takes there; `None` if it is not all there.
pub(crate) fn next(input: &[u8]) -> anyhow::Result<Option<(Frame<'_>, usize)>> {
    let [first, second, ..] = *input else { return Ok(None) };
    let kind = match first & 0x0f {
        0 => Kind::Continuation,
        1 => Kind::Text,
        2 => Kind::Binary,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        other => bail!("a frame has the unknown opcode {other}"),
    };
    if first & 0x70 != 0 {
        bail!("a frame uses an extension that was not asked for");
    }
    if second & 0x80 != 0 {
        bail!("a frame of the server is masked");
    }
    let (begin, length) = match second {
        126 => match input[2..].first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match input[2..].first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length))?),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    if length > 1 << 30 {
        bail!("a frame of {length} bytes");
    }
    let whole = begin + length;
    let Some(payload) = input.get(begin..whole) else { return Ok(None) };
    Ok(Some((Frame { kind, last: first & 0x80 != 0, payload }, whole)))
}

/// Appends a client's frame. Its mask is all zeros, which leaves the payload as it is.
pub(crate) fn write(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | kind as u8);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server would send: the same frame without a mask.
    fn unmasked(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(kind, payload, &mut frame);
        let mask = frame.len() - payload.len() - 4;
        frame.drain(mask..mask + 4);
        frame[1] &= 0x7f;
        frame
    }

    #[test]
    fn frames_of_every_length_are_read_when_they_are_whole() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let payload = vec![b'x'; length];
            let mut input = unmasked(Kind::Text, &payload);
            let whole = input.len();
            for end in [0, 1, 2, 3, whole - 1] {
                assert!(end >= whole || next(&input[..end]).unwrap().is_none(), "{length}: {end}");
            }
            input.extend_from_slice(b"more");
            let frame = Frame { kind: Kind::Text, last: true, payload: &payload };
            assert_eq!(next(&input).unwrap(), Some((frame, whole)));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert!(next(&[0x81, 0x80, 0, 0, 0, 0]).is_err(), "masked");
        assert!(next(&[0xc1, 0]).is_err(), "compressed");
        assert!(next(&[0x83, 0]).is_err(), "opcode 3");
        assert!(next(&[0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0]).is_err(), "huge");
    }
}
