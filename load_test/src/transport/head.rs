//! The head of an HTTP/1.1 response.

use anyhow::bail;

use super::chunked;

/// What matters of it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// Whether the server closes the connection behind it.
    pub(crate) close: bool,
    /// Its bytes, with the blank line.
    pub(crate) length: usize,
}

/// How its body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(usize),
    Chunked,
    /// To the end of the connection.
    Close,
}

/// The most bytes of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The head that `input` begins with; `None` if it is not all there.
pub(crate) fn parse(input: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(input)? else {
        if input.len() > HEAD_BYTES_MAX {
            bail!("the head of a response is too long");
        }
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let mut close = false;
    let mut body = if matches!(status, 101 | 204 | 304) { Body::Length(0) } else { Body::Close };
    for header in response.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(std::str::from_utf8(header.value)?.trim().parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some(Head { status, body, close, length }))
}

/// The first whole response in `input`: its head, with the length of all of it, and its body. `None` if it is not all
/// there, or if only the end of the connection would tell.
pub(crate) fn whole(input: &[u8]) -> anyhow::Result<Option<(Head, Vec<u8>)>> {
    if input.is_empty() {
        return Ok(None);
    }
    let Some(head) = parse(input)? else { return Ok(None) };
    let mut end = head.length;
    let mut body = Vec::new();
    match head.body {
        Body::Length(length) => {
            end += length;
            let Some(text) = input.get(head.length..end) else { return Ok(None) };
            body.extend_from_slice(text);
        }
        Body::Chunked => loop {
            let Some((chunk, taken)) = chunked::next(&input[end..])? else { return Ok(None) };
            end += taken;
            if chunk.is_empty() {
                break;
            }
            body.extend_from_slice(chunk);
        },
        Body::Close => bail!("a response does not say how long it is"),
    }
    Ok(Some((Head { length: end, ..head }, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_that_follow_each_other_are_told_apart() {
        let first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let second = b"HTTP/1.1 202 A\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let input = [&first[..], &second[..]].concat();
        let (head, body) = whole(&input).unwrap().unwrap();
        assert_eq!((head.status, head.length, &body[..]), (200, first.len(), &b"ok"[..]));
        let (head, body) = whole(&input[first.len()..]).unwrap().unwrap();
        assert_eq!((head.status, head.length, &body[..]), (202, second.len(), &b"abc"[..]));
        for end in 0..first.len() {
            assert!(whole(&first[..end]).unwrap().is_none());
        }
        for end in 0..second.len() {
            assert!(whole(&second[..end]).unwrap().is_none());
        }
    }

    #[test]
    fn heads_are_read_when_they_are_whole() {
        let input = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbody";
        for end in 0..input.len() - 4 {
            assert_eq!(parse(&input[..end]).unwrap(), None);
        }
        let head = Head { status: 200, body: Body::Length(12), close: false, length: input.len() - 4 };
        assert_eq!(parse(input).unwrap(), Some(head));
        assert!(parse(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap().unwrap().close);
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().unwrap().body, Body::Chunked);
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap().body, Body::Close);
        assert_eq!(parse(b"HTTP/1.1 204 No\r\n\r\n").unwrap().unwrap().body, Body::Length(0));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
