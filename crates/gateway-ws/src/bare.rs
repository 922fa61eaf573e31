//! The socket beneath an upgrade.

use bytes::{Bytes, BytesMut};
use fanfare_session::ReadAhead;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

/// The socket, and what was read from it beyond the request. Both ways in which hyper may hold one: with what was read
/// before hyper saw it in front, or wrapped by the server that tells HTTP/1.1 from HTTP/2. Otherwise (TLS, or a stream of
/// another kind) the upgrade as it was.
pub(crate) fn bare(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    match upgraded.downcast::<TokioIo<ReadAhead<TcpStream>>>() {
        Ok(parts) => {
            let (socket, ahead) = parts.io.into_inner().into_parts();
            Ok((socket, joined(parts.read_buf, ahead)))
        }
        Err(upgraded) => {
            let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
            Ok((parts.io.into_inner(), parts.read_buf))
        }
    }
}

/// hyper has read some, and the rest of what was read before it is still in front of the socket.
fn joined(read: Bytes, ahead: Bytes) -> Bytes {
    if read.is_empty() || ahead.is_empty() {
        return if read.is_empty() { ahead } else { read };
    }
    let mut both = BytesMut::with_capacity(read.len() + ahead.len());
    both.extend_from_slice(&read);
    both.extend_from_slice(&ahead);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// An upgrade whose first `ahead` bytes were read before hyper saw them: the client, the socket, and what was read
    /// beyond the request.
    async fn upgraded(sent: &[u8], ahead: usize) -> (TcpStream, TcpStream, Bytes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(sent).await.unwrap();
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut first = vec![0; ahead];
        socket.read_exact(&mut first).await.unwrap();
        let (found, mut finding) = mpsc::channel(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let found = found.clone();
            async move {
                found.send(hyper::upgrade::on(request)).await.unwrap();
                let mut response = Response::new(String::new());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(ReadAhead::new(socket, first.into()));
        http1::Builder::new().serve_connection(io, service).with_upgrades().await.unwrap();
        let (socket, read) = bare(finding.recv().await.unwrap().await.unwrap()).expect("the bare socket");
        (client, socket, read)
    }

    #[tokio::test]
    async fn nothing_that_was_read_is_lost() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        // More than hyper reads at once.
        let behind: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = [head.as_slice(), &behind].concat();
        for ahead in [0, 1, head.len(), head.len() + 10, 20_000] {
            let (_client, mut socket, read) = upgraded(&sent, ahead).await;
            let mut all = read.to_vec();
            all.resize(behind.len(), 0);
            socket.read_exact(&mut all[read.len()..]).await.unwrap();
            assert!(all == behind, "{ahead} bytes ahead");
        }
    }
}
