//! HTTP/2 without TLS, by prior knowledge.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection that carries many requests. Dropping it ends them all.
pub struct H2Client {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

/// An answer over HTTP/2. Dropping it resets the stream.
pub struct H2Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl H2Client {
    /// Connects; `window` is how many bytes the server may send on a stream before we have read them.
    pub async fn connect(to: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(to).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a fresh socket");
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(stream))
            .await
            .expect("the server speaks HTTP/2");
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // An end of the connection shows in the requests on it.
            let _ = connection.await;
        });
        Self { sender, _driver: driver }
    }

    /// Sends a request with an empty or a full body.
    pub async fn send(&mut self, request: http::Request<Full<Bytes>>) -> Result<H2Response, hyper::Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok(H2Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// GET with a bearer token.
    pub async fn get(&mut self, path: &str, token: &str) -> Result<H2Response, hyper::Error> {
        let request = http::Request::get(format!("http://localhost{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a plain request");
        self.send(request).await
    }
}

impl H2Response {
    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
