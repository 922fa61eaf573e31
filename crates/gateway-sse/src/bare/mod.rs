//! The door on the bare socket: no server between a stream and `write(2)`.
//!
//! A request that opens a stream over HTTP/1 is served here when its head was read before any server saw the connection.
//! The stream's head and its chunks are written as they lie, so that a stream that waits owns its socket, its session and
//! its cursors, and nothing else: no buffer, no timer, no state of a protocol.

mod begin;
mod head;
mod leave;
mod output;
mod seat;

use std::sync::Arc;

use fanfare_session::Connection;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Method, Version};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::{PATH, form};
use seat::Sitting;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By a last chunk (HTTP/1.1).
    Chunked,
    /// By the end of the connection (HTTP/1.0).
    UntilClose,
}

/// Whether this door serves the request: one that can only mean a stream, with nothing behind its head that would have
/// to be understood. The rest, long polls among it, is for a server that keeps its connections.
pub(crate) fn takes(head: &Parts) -> bool {
    let plain = head.method == Method::GET
        && head.uri.scheme().is_none()
        && head.uri.path() == PATH
        && matches!(head.version, Version::HTTP_10 | Version::HTTP_11);
    let bare = [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, UPGRADE].iter().all(|name| !head.headers.contains_key(name));
    plain && bare && !is_poll(head)
}

fn is_poll(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    form::pairs(query.as_bytes()).is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == "poll"))
}

/// Serves the request with this head until its stream has ended and the connection is closed.
pub(crate) fn serve(gateway: Arc<Gateway>, socket: TcpStream, mut head: Parts) -> impl Future<Output = ()> + Send {
    let place = head.extensions.remove::<Connection>();
    // Boxed as long as it lasts: what it takes to open a stream is much, and what it takes to keep one is little.
    let beginning = Box::pin(begin::begin(gateway, socket, head));
    async move {
        let _place = place;
        if let Some(seat) = beginning.await {
            Sitting::new(seat).stay().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_stream_that_waits_is_small() {
        let (task, seat) = (size_of_future(serve), size_of::<seat::Seat>());
        assert!(task <= 128, "a stream's task has {task} bytes");
        assert!(seat <= 512, "a stream has {seat} bytes");
    }

    #[test]
    fn what_is_served_here() {
        let check = |request: http::request::Builder, expected: bool| {
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(takes(&head), expected, "{head:?}");
        };
        let get = |uri: &str| Request::get(uri);
        check(get("/v1/sse?topic=a"), true);
        check(get("/v1/sse"), true);
        check(get("/v1/sse?topic=a").version(Version::HTTP_10), true);
        check(get("/v1/sse?topic=a").version(Version::HTTP_2), false);
        check(get("/v1/sse/"), false);
        check(get("/v1/ssex"), false);
        check(get("http://example.com/v1/sse"), false);
        check(Request::post("/v1/sse"), false);
        check(Request::head("/v1/sse"), false);
        check(get("/v1/sse?topic=a&poll=1"), false);
        check(get("/v1/sse?topic=a&p%6Fll=1"), false);
        check(get("/v1/sse?topic=poll"), true);
        for name in ["content-length", "transfer-encoding", "expect", "upgrade"] {
            check(get("/v1/sse").header(name, "0"), false);
        }
    }
}
