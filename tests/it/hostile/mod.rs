//! Hostile input at every door: a clear error, memory as before, and nobody else disturbed.

mod bodies;
mod names;
mod slow;
mod tokens;

use fanfare_tests::sse::{EventStream, subscribe};
use fanfare_tests::token::Token;
use fanfare_tests::{PATIENCE, Server, eventually, fresh_topic, within, ws};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Room for what an allocator keeps for the next time. What is sent is many times as much, so that a leak shows.
const MEMORY_SLACK: u64 = 32 * 1024 * 1024;

/// Events of a witness that may wait to be looked at.
const HEARD_MAX: usize = 64;

/// A server's ordinary clients, and its memory, before something hostile happens.
struct Undisturbed {
    topic: String,
    stream: EventStream,
    /// What the WebSocket client gets. It runs by itself, because it must answer pings all the time.
    heard: mpsc::Receiver<Value>,
    _socket: JoinSet<()>,
    rss_bytes: u64,
    descriptors: usize,
}

impl Undisturbed {
    async fn new(server: &Server) -> Self {
        let topic = fresh_topic("witness");
        let stream = subscribe(server.public(), &[&topic]).open().await;
        let mut socket = ws::connect(server.public(), &Token::client().mint()).await;
        socket.subscribe(&topic, "now").await;
        let (hear, heard) = mpsc::channel(HEARD_MAX);
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Ends with the connection, which the test then hears as silence.
            while let Ok(frame) = socket.frame_or_closed().await {
                if hear.send(frame["event"]["data"].clone()).await.is_err() {
                    return;
                }
            }
        });
        let mut witness = Self { topic, stream, heard, _socket: task, rss_bytes: 0, descriptors: 0 };
        witness.still_hear(server).await;
        let stats = server.stats();
        (witness.rss_bytes, witness.descriptors) = (stats.rss_bytes, stats.descriptors);
        witness
    }

    /// Both clients still get what is published.
    async fn still_hear(&mut self, server: &Server) {
        server.api().publish_text(&self.topic, "still here").await;
        assert_eq!(self.stream.data_event().await.data, "still here");
        let heard = within("the WebSocket witness", self.heard.recv()).await;
        assert_eq!(heard, Some("still here".into()), "the WebSocket witness was cut off");
    }

    /// As before: the clients, the memory, the open sockets; and nothing panicked.
    async fn check(mut self, server: &Server) {
        self.still_hear(server).await;
        let before = (self.rss_bytes / 1024, self.descriptors);
        eventually(format!("memory and sockets to return to {before:?} KiB and sockets"), PATIENCE, || {
            let stats = server.stats();
            let fits = stats.rss_bytes <= self.rss_bytes + MEMORY_SLACK && stats.descriptors <= self.descriptors + 4;
            if !fits {
                eprintln!("now: {stats:?}");
            }
            std::future::ready(fits.then_some(()))
        })
        .await;
        assert!(!server.log().contains("panicked"));
    }
}
