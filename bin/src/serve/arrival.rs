//! The first bytes of a connection, read before any server sees it, to find who shall serve it.
//!
//! A connection that says nothing owns no buffer: each worker has one, which a connection borrows for the moment in which
//! it reads. Only what comes of a head in pieces is kept with its connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use hyper::Version;
use tokio::io::{AsyncRead, ReadBuf};

use super::head::{self, Head};

thread_local! {
    /// Where connections of this worker read their first bytes.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection of which it is not known yet what it wants: a bare socket, or what TLS made of one.
pub(super) struct Arrival<S> {
    pub(super) stream: S,
    /// What has come of its first head.
    pub(super) ahead: Vec<u8>,
}

/// Who shall serve a connection.
pub(super) enum Wants {
    /// A gateway, without a server: nothing but this head was read.
    Bare(Box<Parts>),
    /// A server of this version of HTTP, which is given what was read. That of HTTP/1.1 also answers what is no request.
    Server(Version, Bytes),
}

impl<S: AsyncRead + Unpin> Arrival<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// Reads until it is clear what the client wants: `bare` says whether a whole head can be served without a server.
    /// No more than `head_bytes_max` and one read are kept. An error, also `UnexpectedEof`: there is nobody. Cancelled
    /// without loss.
    pub(super) async fn wants(&mut self, bare: impl Fn(&Parts) -> bool, head_bytes_max: usize) -> io::Result<Wants> {
        poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(head_bytes_max, 0);
                loop {
                    let mut read = ReadBuf::new(buffer);
                    ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                    }
                    if let Some(wants) = self.look(read.filled(), &bare, head_bytes_max) {
                        return Poll::Ready(Ok(wants));
                    }
                }
            })
        })
        .await
    }

    /// Looks at what has come so far, of which `bytes` is the latest.
    fn look(&mut self, bytes: &[u8], bare: &impl Fn(&Parts) -> bool, room: usize) -> Option<Wants> {
        let bytes = if self.ahead.is_empty() {
            bytes
        } else {
            self.ahead.extend_from_slice(bytes);
            &self.ahead
        };
        let version = match head::parse(bytes) {
            Head::Begun if bytes.len() < room => {
                if self.ahead.is_empty() {
                    self.ahead = bytes.to_vec();
                }
                return None;
            }
            // A server says what is too much.
            Head::Get(parts) if bytes.len() <= room && bare(&parts) => return Some(Wants::Bare(parts)),
            Head::Http2 => Version::HTTP_2,
            Head::Begun | Head::Get(_) | Head::Other => Version::HTTP_11,
        };
        Some(Wants::Server(version, Bytes::copy_from_slice(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn wants(pieces: &[&[u8]], bare: bool) -> io::Result<Wants> {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut arrival = Arrival::new(server);
        let sending = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        tokio::join!(arrival.wants(|_| bare, 256), sending).0
    }

    #[tokio::test]
    async fn a_head_in_pieces_is_put_together() {
        let pieces = [&b"GET /v1/sse HT"[..], b"TP/1.1\r\nHost: a\r\n", b"\r\n"];
        let Ok(Wants::Bare(head)) = wants(&pieces, true).await else { panic!("a head") };
        assert_eq!(head.uri.path(), "/v1/sse");
        let Ok(Wants::Server(version, ahead)) = wants(&pieces, false).await else { panic!("for a server") };
        assert_eq!((version, ahead), (Version::HTTP_11, Bytes::from(pieces.concat())));
    }

    #[tokio::test]
    async fn a_server_gets_what_is_too_much_and_what_is_http2() {
        let long = [b"GET /v1/sse HTTP/1.1\r\nA: ".as_slice(), &[b'b'; 400]].concat();
        let Ok(Wants::Server(version, ahead)) = wants(&[&long], true).await else { panic!("for a server") };
        assert!(version == Version::HTTP_11 && ahead.len() >= 256 && long.starts_with(&ahead));
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let Ok(Wants::Server(version, _)) = wants(&[&preface[..9], &preface[9..]], true).await else {
            panic!("HTTP/2")
        };
        assert_eq!(version, Version::HTTP_2);
    }

    #[tokio::test]
    async fn who_leaves_before_saying_anything_is_nobody() {
        let Err(error) = wants(&[b"GET /"], true).await else { panic!("somebody") };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
