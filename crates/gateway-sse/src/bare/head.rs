//! Heads of answers, as bytes.

use std::io::Write as _;

use fanfare_model::Timestamp;
use http::{HeaderMap, StatusCode, Version};
use jiff::fmt::rfc2822::DateTimePrinter;

use super::Framing;

/// What is said of the body that follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// A stream.
    Stream(Framing),
    /// So many bytes.
    Bytes(usize),
}

/// Writes a head to the end of `out`. The connection ends with the answer, and the head says so.
pub(super) fn write(
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    follows: Follows,
    now: Timestamp,
    out: &mut Vec<u8>,
) {
    let version = if version == Version::HTTP_10 { "1.0" } else { "1.1" };
    let reason = status.canonical_reason().unwrap_or_default();
    write!(out, "HTTP/{version} {} {reason}\r\n", status.as_str()).expect("a Vec grows");
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match follows {
        Follows::Stream(Framing::Chunked) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Follows::Stream(Framing::UntilClose) => {}
        // No length belongs to an answer that never has a body (RFC 9110 section 8.6).
        Follows::Bytes(0) if status == StatusCode::NO_CONTENT => {}
        Follows::Bytes(length) => write!(out, "content-length: {length}\r\n").expect("a Vec grows"),
    }
    out.extend_from_slice(b"connection: close\r\n");
    write_date(now, out);
    out.extend_from_slice(b"\r\n");
}

/// The header `date` (RFC 9110 section 6.6.1).
fn write_date(now: Timestamp, out: &mut Vec<u8>) {
    let date = jiff::Timestamp::from_second(now.as_seconds())
        .and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time));
    // A clock that is beyond all dates is none, and then there is no such header.
    if let Ok(date) = date {
        write!(out, "date: {date}\r\n").expect("a Vec grows");
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONTENT_TYPE, VARY};

    use super::*;

    fn written(version: Version, status: StatusCode, follows: Follows) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let mut out = Vec::new();
        write(version, status, &headers, follows, Timestamp::from_seconds(784_111_777), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn heads() {
        let rest = "connection: close\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        let own = "content-type: text/event-stream\r\nvary: Origin\r\n";
        let check = |version, status, follows, first: &str, framing: &str| {
            assert_eq!(written(version, status, follows), format!("{first}\r\n{own}{framing}{rest}"));
        };
        let (chunked, bare) = (Follows::Stream(Framing::Chunked), Follows::Stream(Framing::UntilClose));
        check(Version::HTTP_11, StatusCode::OK, chunked, "HTTP/1.1 200 OK", "transfer-encoding: chunked\r\n");
        check(Version::HTTP_10, StatusCode::OK, bare, "HTTP/1.0 200 OK", "");
        check(Version::HTTP_11, StatusCode::NO_CONTENT, Follows::Bytes(0), "HTTP/1.1 204 No Content", "");
        let (denied, length) = (StatusCode::FORBIDDEN, "content-length: 12\r\n");
        check(Version::HTTP_11, denied, Follows::Bytes(12), "HTTP/1.1 403 Forbidden", length);
    }
}
