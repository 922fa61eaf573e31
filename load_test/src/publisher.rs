//! Publishes over one kept-alive HTTP connection, as cheaply as a client can.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, bail};

pub(crate) struct Publisher {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Publisher {
    pub(crate) fn connect(admin: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(admin)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token: token.to_owned(), buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Publishes `messages` (a JSON array) to `topic` and returns the body of the answer.
    pub(crate) fn publish(&mut self, topic: &str, messages: &str) -> anyhow::Result<Vec<u8>> {
        let body = format!(r#"{{"topic":"{topic}","messages":{messages}}}"#);
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nhost: load\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Vec<u8>> {
        self.buffer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .and_then(|value| value.trim().parse().ok())
                    .context("the answer has no content-length")?;
                if self.buffer.len() >= end + 4 + length {
                    if !head.starts_with("http/1.1 200") {
                        bail!("publishing failed: {}", String::from_utf8_lossy(&self.buffer));
                    }
                    return Ok(self.buffer[end + 4..].to_vec());
                }
            }
            match self.stream.read(&mut chunk)? {
                0 => bail!("the server closed the publisher's connection"),
                n => self.buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }
}
