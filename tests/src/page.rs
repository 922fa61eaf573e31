//! A web server with one blank page: the origin of the browser's scripts.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 39\r\n\
    Connection: close\r\n\r\n<!doctype html><title>test page</title>";

/// Serves a blank page on a port of its own.
pub struct PageServer {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl PageServer {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    // A visitor that goes away harms nobody.
                    let _ = answer(stream).await;
                }
            }
        });
        Self { address, _task: task }
    }

    /// The origin, as it stands in the header `Origin`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await? > 0 {}
    stream.write_all(PAGE).await?;
    stream.shutdown().await
}
