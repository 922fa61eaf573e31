//! WebSocket frames written by hand, for those that no client library would send.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Request, ws};

/// In place of a length: the next two bytes are it.
const LENGTH_16: u8 = 0x7e;
/// In place of a length: the next eight bytes are it.
const LENGTH_64: u8 = 0x7f;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// The opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// Whether it is masked, as every client's frame must be.
    pub masked: bool,
    /// The payload, not masked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A proper text frame.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, reserved: 0, opcode: 1, masked: true, payload: payload.into() }
    }

    /// The bytes of it, with the length in the shortest form.
    pub fn bytes(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        let mask_bit = u8::from(self.masked) << 7;
        match self.payload.len() {
            length @ 0..=125 => bytes.push(mask_bit | u8::try_from(length).expect("at most 125")),
            length @ 126..=0xffff => {
                bytes.push(mask_bit | LENGTH_16);
                bytes.extend_from_slice(&u16::try_from(length).expect("at most 65,535").to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | LENGTH_64);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend_from_slice(&MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// A connection that has been upgraded and on which anything may be written.
pub struct RawWs {
    stream: TcpStream,
    buffer: BytesMut,
}

impl RawWs {
    /// Shakes hands.
    pub async fn connect(to: SocketAddr) -> Self {
        Self::connect_and_say(to, []).await
    }

    /// Shakes hands, and does not wait for the other hand before it says `behind`.
    pub async fn connect_and_say(to: SocketAddr, behind: impl Into<Vec<u8>>) -> Self {
        let response = Request::get(ws::PATH)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", ws::SUBPROTOCOL)
            .unframed_body(behind)
            .send(to)
            .await
            .expect("an answer to the handshake");
        assert_eq!(response.status, 101);
        assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let (stream, buffer) = response.into_connection();
        Self { stream, buffer }
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Writes a frame.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.write(&frame.bytes()).await
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.parse() {
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The code of the close frame that comes, other frames passed over; `None` if the connection ends without.
    pub async fn close_code(&mut self) -> Option<u16> {
        // A reset after the close frame was sent may hide it: that counts as none too.
        while let Ok(Some(frame)) = self.receive().await {
            if frame.opcode == 8 {
                return frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        None
    }

    fn parse(&mut self) -> Option<Frame> {
        let bytes = &self.buffer[..];
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (header, length) = match second {
            LENGTH_16 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
            LENGTH_64 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)).expect("64 bits")),
            length => (2, usize::from(length)),
        };
        let payload = bytes.get(header..header + length)?.to_vec();
        self.buffer.advance(header + length);
        let (fin, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0xf);
        Some(Frame { fin, reserved, opcode, masked: false, payload })
    }
}
