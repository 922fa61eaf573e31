//! One connection: HTTP/1.1 or HTTP/2, told apart by its first bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use fanfare_gateway_sse::ConnectionAbort;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::acceptor::Accepted;
use super::metrics::Open;
use crate::config::HttpOptions;

/// How connections of a worker are spoken with.
pub(super) struct Http {
    builder: Builder<Streams>,
    life: Lifecycle,
}

impl Http {
    pub(super) fn new(options: &HttpOptions, life: &Lifecycle) -> Self {
        let mut builder = Builder::new(Streams(life.clone()));
        let bytes = |size: fanfare_model::ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_read_timeout.get())
            // Bounds the head of a request, and what a reader that has stopped reading can hold of our output.
            .max_buf_size(options.head_bytes_max.as_usize());
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.h2_streams_max)
            .keep_alive_interval(options.h2_ping_interval.get())
            .keep_alive_timeout(options.h2_ping_timeout.get())
            .initial_stream_window_size(bytes(options.h2_stream_window))
            .initial_connection_window_size(bytes(options.h2_connection_window))
            .max_send_buf_size(options.h2_send_buffer.as_usize())
            .max_header_list_size(bytes(options.head_bytes_max));
        Self { builder, life: life.clone() }
    }

    /// Serves `accepted` with `router` until it ends. After the soft stop the connection takes no further
    /// requests (HTTP/1.1 `connection: close`, HTTP/2 GOAWAY) and ends with the last response; at the hard stop
    /// it is dropped. An upgraded connection (WebSocket) goes on without this future.
    pub(super) async fn serve(&self, accepted: Accepted, router: Router) {
        let peer = accepted.peer;
        let socket = match TcpStream::from_std(accepted.stream) {
            Ok(socket) => socket,
            Err(error) => return tracing::warn!(error = %error, "a connection could not be registered"),
        };
        // Ends with the hard stop, or when a part finds that the client has stopped reading.
        let cut = self.life.hard().child_token();
        let about = About {
            peer: ConnectInfo(peer),
            connection: fanfare_session::Connection { place: Arc::new((accepted.permit, Open::new())) },
            abort: ConnectionAbort(cut.clone()),
        };
        let service = service_fn(move |request| answer(request, about.clone(), router.clone()));
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = cut.cancelled() => return,
            () = self.life.soft().cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection.as_mut() => result,
                    () = cut.cancelled() => return,
                }
            }
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
    connection: fanfare_session::Connection,
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
