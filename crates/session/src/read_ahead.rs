//! A stream of which somebody has read the first bytes already.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream with the bytes in front that were read to see what its client wants. The server that takes a connection
/// makes one; a gateway whose client has left HTTP behind (an upgrade) finds it beneath and takes it apart.
#[derive(Debug)]
pub struct ReadAhead<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> ReadAhead<S> {
    /// `stream`, whose reader gets `ahead` first.
    pub fn new(stream: S, ahead: Bytes) -> Self {
        Self { ahead, stream }
    }

    /// The stream, and what is left of the bytes in front.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.ahead)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            // Lets go of the memory.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_bytes_in_front_come_first_and_writes_go_through() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut stream = ReadAhead::new(ours, Bytes::from_static(b"abcde"));
        theirs.write_all(b"fgh").await.unwrap();
        let mut buffer = [0; 2];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ab");
        let mut rest = [0; 6];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"cdefgh");
        stream.write_all(b"xyz").await.unwrap();
        let mut heard = [0; 3];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"xyz");
    }

    #[tokio::test]
    async fn what_was_not_read_is_still_in_front() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut stream = ReadAhead::new(ours, Bytes::from_static(b"abcde"));
        let mut buffer = [0; 3];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(stream.into_parts().1, "de");
    }
}
