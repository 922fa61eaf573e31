//! An HTTP/1.1 client that hides nothing: what is sent is what is written here, and a body that was cut off is
//! told from one that ended.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most bytes a response's head may have; more is a fault of the server.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A request, byte for byte.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// Any method on any target.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// Adds a header; the value may be any bytes.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Sets the body, with its length and type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Type", content_type).header("Content-Length", length)
    }

    /// Sets the body without a word on its type or length in the head.
    #[must_use]
    pub fn unframed_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Speaks HTTP/1.0.
    #[must_use]
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// The bytes of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\nHost: localhost\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it over a connection of its own and reads the head of the answer.
    pub async fn send(&self, to: SocketAddr) -> io::Result<Response> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        // A server may answer and close before it has read a request that is too large.
        let written = stream.write_all(&self.bytes()).await;
        match Response::read(stream, self.method == "HEAD").await {
            Ok(response) => Ok(response),
            Err(error) => written.and(Err(error)),
        }
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
    Ended,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
}

impl Response {
    /// Reads the head of an answer from `stream`.
    pub async fn read(mut stream: TcpStream, bodiless: bool) -> io::Result<Self> {
        let mut buffer = BytesMut::new();
        loop {
            if let Some((length, status, headers)) = parse_head(&buffer)? {
                buffer.advance(length);
                let framing = framing(status, &headers, bodiless)?;
                return Ok(Self { status, headers, stream, buffer, framing });
            }
            if buffer.len() > HEAD_BYTES_MAX {
                return Err(bad("the head has no end"));
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The value of a header, if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the body is sent in chunks.
    pub fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// The next piece of the body; `None` at its end; an error if the connection ended before it.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        match self.framing {
            Framing::Ended => Ok(None),
            Framing::UntilClose => {
                if self.buffer.is_empty() && self.stream.read_buf(&mut self.buffer).await? == 0 {
                    self.framing = Framing::Ended;
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Framing::Length(left) => {
                if left == 0 {
                    self.framing = Framing::Ended;
                    return Ok(None);
                }
                if self.buffer.is_empty() {
                    self.fill().await?;
                }
                let take = left.min(self.buffer.len());
                self.framing = Framing::Length(left - take);
                Ok(Some(self.buffer.split_to(take).freeze()))
            }
            Framing::Chunked => self.next_chunk().await,
        }
    }

    async fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match httparse::parse_chunk_size(&self.buffer).map_err(|_| bad("a chunk has no size"))? {
                httparse::Status::Partial => self.fill().await?,
                httparse::Status::Complete((start, size)) => {
                    let size = usize::try_from(size).map_err(|_| bad("a chunk is too large"))?;
                    while self.buffer.len() < start + size + 2 {
                        self.fill().await?;
                    }
                    self.buffer.advance(start);
                    let data = self.buffer.split_to(size).freeze();
                    if &self.buffer.split_to(2)[..] != b"\r\n" {
                        return Err(bad("a chunk does not end with CRLF"));
                    }
                    if size == 0 {
                        self.framing = Framing::Ended;
                        return Ok(None);
                    }
                    return Ok(Some(data));
                }
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The rest of the body as text.
    pub async fn text(mut self) -> io::Result<String> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))
    }

    /// The connection itself, e.g. to send more on it.
    pub fn connection(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Gives up the answer for the connection under it and what was read from it already.
    pub fn into_connection(self) -> (TcpStream, BytesMut) {
        (self.stream, self.buffer)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, u16, HeaderMap)>> {
    let mut storage = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut storage);
    let length = match head.parse(bytes).map_err(|error| bad(&format!("the head: {error}")))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(length) => length,
    };
    let mut headers = HeaderMap::new();
    for header in head.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| bad("a header's name"))?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(|_| bad("a header's value"))?);
    }
    Ok(Some((length, head.code.unwrap_or_default(), headers)))
}

fn framing(status: u16, headers: &HeaderMap, bodiless: bool) -> io::Result<Framing> {
    if bodiless || status == 204 || status == 304 || (100..200).contains(&status) {
        return Ok(Framing::Ended);
    }
    if headers.get("transfer-encoding").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Ok(Framing::Chunked);
    }
    match headers.get("content-length") {
        None => Ok(Framing::UntilClose),
        Some(value) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            length.map(Framing::Length).ok_or_else(|| bad("content-length"))
        }
    }
}
