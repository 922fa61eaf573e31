//! One connection, encrypted or not: a stream on the bare socket, HTTP/1.1 or HTTP/2, told apart by its first bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use fanfare_gateway_sse::{ConnectionAbort, Door};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_session::{Connection, ReadAhead};
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::acceptor::Accepted;
use super::arrival::{Arrival, Wants};
use super::metrics::Open;
use crate::config::HttpOptions;

/// How connections of a worker are spoken with.
pub(super) struct Http {
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
    arrival_timeout: Duration,
    head_bytes_max: usize,
    life: Lifecycle,
}

/// What a listener answers on one worker.
#[derive(Clone)]
pub(super) struct Answers {
    /// Every request that is understood by a server.
    pub router: Router,
    /// Streams that need none, if this listener serves them.
    pub streams: Option<Door>,
}

/// What serves a connection whose client has said what it wants. Boxed, because the state of an HTTP server is many times
/// that of a stream, and a connection is only one of them.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Http {
    pub(super) fn new(options: &HttpOptions, life: &Lifecycle) -> Self {
        let bytes = |size: fanfare_model::ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_read_timeout.get())
            // Bounds the head of a request, and what a reader that has stopped reading can hold of our output.
            .max_buf_size(options.head_bytes_max.as_usize());
        let mut http2 = http2::Builder::new(Streams(life.clone()));
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.h2_streams_max)
            .keep_alive_interval(options.h2_ping_interval.get())
            .keep_alive_timeout(options.h2_ping_timeout.get())
            .initial_stream_window_size(bytes(options.h2_stream_window))
            .initial_connection_window_size(bytes(options.h2_connection_window))
            .max_send_buf_size(options.h2_send_buffer.as_usize())
            .max_header_list_size(bytes(options.head_bytes_max));
        Self {
            http1,
            http2,
            arrival_timeout: options.header_read_timeout.get(),
            head_bytes_max: options.head_bytes_max.as_usize(),
            life: life.clone(),
        }
    }

    /// Serves `accepted` until it ends. After the soft stop a connection takes no further requests (HTTP/1.1
    /// `connection: close`, HTTP/2 GOAWAY) and ends with the last response; at the hard stop it is dropped. An upgraded
    /// connection (WebSocket) goes on without this future.
    pub(super) fn serve(self: Arc<Self>, accepted: Accepted, answers: Answers) -> impl Future<Output = ()> + Send {
        // Boxed as long as it lasts: it has a timer, and most connections wait for years.
        let arriving = Box::pin(self.arrive(accepted, answers));
        async move {
            if let Some(serving) = arriving.await {
                serving.await;
            }
        }
    }

    /// Until the client has said what it wants; `None` if it does not.
    async fn arrive(self: Arc<Self>, accepted: Accepted, answers: Answers) -> Option<Serving> {
        let about = About {
            peer: ConnectInfo(accepted.peer),
            connection: Connection { place: Arc::new((accepted.permit, Open::new())) },
            abort: ConnectionAbort(self.life.hard().child_token()),
        };
        let socket = match TcpStream::from_std(accepted.stream) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be registered");
                return None;
            }
        };
        let Answers { router, streams } = answers;
        if let Some(tls) = accepted.tls {
            let encrypted = tokio::select! {
                // Boxed: it is many times what a bare socket that waits has.
                encrypted = Box::pin(tls.accept(socket, accepted.peer)) => encrypted?,
                () = self.life.soft().cancelled() => return None,
            };
            let mut arrival = Arrival::new(encrypted);
            let wants = self.wants(&mut arrival, |_| false).await?;
            return self.served(wants, arrival.stream, about, router);
        }
        let mut arrival = Arrival::new(socket);
        let wants = self.wants(&mut arrival, |head| streams.as_ref().is_some_and(|door| door.takes(head))).await?;
        match (wants, streams) {
            (Wants::Bare(mut head), Some(door)) => {
                head.extensions.insert(about.peer);
                head.extensions.insert(about.connection);
                Some(Box::pin(door.serve(arrival.stream, *head)))
            }
            (wants, _) => self.served(wants, arrival.stream, about, router),
        }
    }

    async fn wants<S: AsyncRead + Unpin>(
        &self,
        arrival: &mut Arrival<S>,
        bare: impl Fn(&Parts) -> bool,
    ) -> Option<Wants> {
        tokio::select! {
            wants = tokio::time::timeout(self.arrival_timeout, arrival.wants(bare, self.head_bytes_max)) => match wants {
                Ok(Ok(wants)) => Some(wants),
                // The client has gone, or said too little in its time.
                Ok(Err(_)) | Err(_) => None,
            },
            // From here on a server knows what to do with half a head.
            () = self.life.soft().cancelled() => {
                Some(Wants::Server(Version::HTTP_11, std::mem::take(&mut arrival.ahead).into()))
            }
        }
    }

    /// By a server of HTTP.
    fn served<S>(self: Arc<Self>, wants: Wants, stream: S, about: About, router: Router) -> Option<Serving>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Only a door has a bare head, and it was asked before.
        let Wants::Server(version, ahead) = wants else { return None };
        Some(Box::pin(async move { self.converse(version, ReadAhead::new(stream, ahead), about, router).await }))
    }

    /// HTTP, until the connection ends.
    async fn converse<S>(&self, version: Version, stream: S, about: About, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let peer = about.peer.0;
        // Ends with the hard stop, or when a part finds that the client has stopped reading.
        let cut = about.abort.0.clone();
        let service = service_fn(move |request| answer(request, about.clone(), router.clone()));
        let soft = self.life.soft();
        let ended = async {
            if version == Version::HTTP_2 {
                let mut connection = pin!(self.http2.serve_connection(io, service));
                tokio::select! {
                    result = connection.as_mut() => return result,
                    () = soft.cancelled() => connection.as_mut().graceful_shutdown(),
                }
                connection.await
            } else {
                let mut connection = pin!(self.http1.serve_connection(io, service).with_upgrades());
                tokio::select! {
                    result = connection.as_mut() => return result,
                    () = soft.cancelled() => connection.as_mut().graceful_shutdown(),
                }
                connection.await
            }
        };
        let result = tokio::select! {
            result = ended => result,
            () = cut.cancelled() => return,
        };
        if let Err(error) = result {
            // Clients vanish all the time: nothing for an operator, much for who looks for one client.
            tracing::debug!(error = %error, peer = %peer, "connection ended");
        }
    }
}

/// What a part may know of the connection of a request, and do with it, by the request's extensions.
#[derive(Clone)]
struct About {
    peer: ConnectInfo<SocketAddr>,
    connection: Connection,
    abort: ConnectionAbort,
}

async fn answer(mut request: Request<Incoming>, about: About, router: Router) -> Result<Response, Infallible> {
    // Others share a connection of HTTP/2, so no part may cut it.
    let alone = request.version() < Version::HTTP_2;
    let extensions = request.extensions_mut();
    extensions.insert(about.peer);
    extensions.insert(about.connection);
    if alone {
        extensions.insert(about.abort);
    }
    router.oneshot(request).await
}

/// Runs HTTP/2 streams as tasks of the life.
#[derive(Clone)]
struct Streams(Lifecycle);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(TaskKind::Connection, "http2 stream", stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_is_small() {
        let size = size_of_future(Http::serve);
        assert!(size <= 64, "a connection's task has {size} bytes");
    }
}
