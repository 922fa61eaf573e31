//! What the first bytes of a connection are.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use httparse::Status;

/// What a client of HTTP/2 says first when it knows that the server speaks it (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The most headers of a request that is looked at here, which is the most that hyper takes.
const HEADERS_MAX: usize = 100;

/// The first bytes of a connection.
pub(super) enum Head {
    /// They may become a GET of HTTP/1, or HTTP/2.
    Begun,
    /// A whole GET of HTTP/1. What follows it is not in here.
    Get(Box<Parts>),
    /// HTTP/2.
    Http2,
    /// Something else, right or wrong.
    Other,
}

/// Reads them. What is not understood here is `Other`: it is for a server to answer, or to refuse.
pub(super) fn parse(bytes: &[u8]) -> Head {
    if bytes.starts_with(HTTP2_PREFACE) {
        return Head::Http2;
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return Head::Begun;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes);
    // Known as soon as its word is complete: nobody else has to wait for the rest of the head.
    if request.method.is_some_and(|method| method != "GET") {
        return Head::Other;
    }
    match parsed {
        Ok(Status::Partial) => Head::Begun,
        Ok(Status::Complete(_)) => parts(&request).map_or(Head::Other, |parts| Head::Get(Box::new(parts))),
        Err(_) => Head::Other,
    }
}

fn parts(request: &httparse::Request<'_, '_>) -> Option<Parts> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::GET;
    parts.uri = request.path?.parse::<Uri>().ok()?;
    parts.version = if request.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers.reserve(request.headers.len());
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        parts.headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> &'static str {
        match parse(bytes) {
            Head::Begun => "begun",
            Head::Get(_) => "get",
            Head::Http2 => "http2",
            Head::Other => "other",
        }
    }

    #[test]
    fn every_beginning_of_a_get_is_one() {
        let whole = b"GET /v1/sse?topic=a HTTP/1.1\r\nHost: a\r\nLast-Event-ID: \xc3\xa9\r\n\r\n";
        for end in 1..whole.len() {
            assert_eq!(of(&whole[..end]), "begun", "{:?}", String::from_utf8_lossy(&whole[..end]));
        }
        let Head::Get(parts) = parse(&[whole.as_slice(), b"and more"].concat()) else { panic!("a GET") };
        assert_eq!(
            (parts.uri.path(), parts.uri.query(), parts.version),
            ("/v1/sse", Some("topic=a"), Version::HTTP_11)
        );
        assert_eq!(parts.headers["last-event-id"].as_bytes(), b"\xc3\xa9");
        assert_eq!(parts.headers.len(), 2);
    }

    #[test]
    fn every_beginning_of_http2_is_one() {
        for end in 1..HTTP2_PREFACE.len() {
            assert_eq!(of(&HTTP2_PREFACE[..end]), "begun");
        }
        assert_eq!(of(HTTP2_PREFACE), "http2");
        assert_eq!(of(&[HTTP2_PREFACE, b"\0\0\0"].concat()), "http2");
        assert_eq!(of(b"PRI * HTTP/2.0\r\n\r\nSX"), "other");
    }

    #[test]
    fn the_rest_is_not_waited_for() {
        for bytes in [
            &b"POST "[..],
            b"HEAD / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\0",
            b"\0",
            b"GET / HTTP/9.9\r\n",
            b"GET / HTTP/1.1\r\n bad: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad\r\n\r\n",
            b"GET\r\n\r\n",
        ] {
            assert_eq!(of(bytes), "other", "{bytes:?}");
        }
    }

    #[test]
    fn more_headers_than_a_server_takes_are_for_the_server() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(of(head(HEADERS_MAX).as_bytes()), "get");
        assert_eq!(of(head(HEADERS_MAX + 1).as_bytes()), "other");
    }
    /// Bytes that are nearly a head.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"GET /v1/sse HTTP/1.1\r\n".to_vec()),
            Just(b"A: b\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(HTTP2_PREFACE.to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// In how many pieces bytes come makes no difference: once it is known what they are, more do not change it.
        #[test]
        fn what_is_known_stays_so(bytes in nearly(), more in nearly()) {
            let known = of(&bytes);
            if known != "begun" && !bytes.is_empty() {
                prop_assert_eq!(of(&[bytes, more].concat()), known);
            }
        }
    }
}
