//! A small web server: the origin of the browser's scripts, and whatever else a test wants to be fetched.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BLANK: &str = "<!doctype html><title>test page</title>";

/// Serves a blank page, and documents by path, on a port of its own.
pub struct PageServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    /// By path: media type and text.
    documents: Mutex<BTreeMap<String, (String, String)>>,
    /// How often a document was fetched.
    fetched: AtomicUsize,
}

impl PageServer {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::<Shared>::default();
        let mut task = JoinSet::new();
        let serving = Arc::clone(&shared);
        task.spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    // A visitor that goes away harms nobody.
                    let _ = serving.answer(stream).await;
                }
            }
        });
        Self { address, shared, _task: task }
    }

    /// The origin, as it stands in the header `Origin`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on serves `text` at `path`.
    pub fn put(&self, path: &str, media_type: &str, text: &str) {
        self.shared.documents.lock().insert(path.to_owned(), (media_type.to_owned(), text.to_owned()));
    }

    /// How often a document that was [`put`](Self::put) here has been fetched.
    pub fn fetched(&self) -> usize {
        self.shared.fetched.load(Ordering::Relaxed)
    }
}

impl Shared {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await? > 0 {}
        let line = String::from_utf8_lossy(&head);
        let path = line.split(' ').nth(1).unwrap_or_default();
        let document = self.documents.lock().get(path).cloned();
        let (media_type, text) = match document {
            Some(document) => {
                self.fetched.fetch_add(1, Ordering::Relaxed);
                document
            }
            None => ("text/html; charset=utf-8".to_owned(), BLANK.to_owned()),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}
