//! The first bytes of a connection, read before any server sees it, to find who shall serve it.
//!
//! A connection that says nothing owns no buffer: each worker has one, which a connection borrows for the moment in which
//! it reads. Only what comes of a head in pieces is kept with its connection.

use std::cell::RefCell;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::request::Parts;
use tokio::net::TcpStream;

use super::head::{self, Head};

thread_local! {
    /// Where connections of this worker read their first bytes.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection of which it is not known yet what it wants.
pub(super) struct Arrival {
    pub(super) socket: TcpStream,
    /// What has come of its first head.
    pub(super) ahead: Vec<u8>,
}

/// Who shall serve a connection.
pub(super) enum Wants {
    /// A gateway, on the bare socket: nothing but this head was read.
    Bare(Box<Parts>),
    /// A server of HTTP/1.1, which is given what was read. It also answers what is no request.
    Http1(Bytes),
    /// A server of HTTP/2, likewise.
    Http2(Bytes),
}

impl Arrival {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, ahead: Vec::new() }
    }

    /// Reads until it is clear what the client wants: `bare` says whether a whole head can be served on the bare socket.
    /// No more than `head_bytes_max` and one read are kept. An error, also `UnexpectedEof`: there is nobody. Cancelled
    /// without loss.
    pub(super) async fn wants(&mut self, bare: impl Fn(&Parts) -> bool, head_bytes_max: usize) -> io::Result<Wants> {
        loop {
            self.socket.readable().await?;
            match BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(head_bytes_max, 0);
                self.read(buffer, &bare)
            }) {
                Ok(Some(wants)) => return Ok(wants),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, and looks at what has come so far.
    fn read(&mut self, buffer: &mut [u8], bare: &impl Fn(&Parts) -> bool) -> io::Result<Option<Wants>> {
        let room = buffer.len();
        let bytes = match self.socket.try_read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => &buffer[..count],
        };
        let bytes = if self.ahead.is_empty() {
            bytes
        } else {
            self.ahead.extend_from_slice(bytes);
            &self.ahead
        };
        let wants = match head::parse(bytes) {
            Head::Begun if bytes.len() < room => {
                if self.ahead.is_empty() {
                    self.ahead = bytes.to_vec();
                }
                return Ok(None);
            }
            Head::Http2 => Wants::Http2(Bytes::copy_from_slice(bytes)),
            // A server says what is too much.
            Head::Get(parts) if bytes.len() <= room && bare(&parts) => Wants::Bare(parts),
            Head::Begun | Head::Get(_) | Head::Other => Wants::Http1(Bytes::copy_from_slice(bytes)),
        };
        Ok(Some(wants))
    }
}
