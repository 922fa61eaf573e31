//! An HTTP server that does as a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use axum::routing::any;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

/// A question as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

/// A server on a port of the kernel's choice; it stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    life: Lifecycle,
}

impl Server {
    /// Answers each question with what `respond` makes of it.
    pub(crate) async fn start<F, R>(respond: F) -> Self
    where
        F: Fn(Received) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let handler = move |request: Request<Body>| {
            let (respond, kept) = (respond.clone(), Arc::clone(&kept));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let question = Received { path: head.uri.path().to_owned(), headers: head.headers, body };
                kept.lock().push(question.clone());
                respond(question).await
            }
        };
        let life = Lifecycle::new();
        let hard = life.hard().clone();
        life.spawn(TaskKind::Background, "server", async move {
            let serving = axum::serve(listener, axum::Router::new().fallback(any(handler)));
            hard.run_until_cancelled(async { serving.await.unwrap() }).await;
        });
        Self { address, received, life }
    }

    /// Answers 200 with this body, always.
    pub(crate) async fn answering(body: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(Body::from(body)) }).await
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.stop();
    }
}
