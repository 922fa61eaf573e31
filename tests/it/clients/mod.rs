//! Other people's clients: each behaviour is written once and runs with every one of them.

mod grpc;
mod sse;
mod websocket;

use fanfare_tests::{Browser, Observed, Script};

/// A client that is not ours.
enum Peer {
    Script(Box<Script>),
    Browser(Box<Browser>),
}

impl Peer {
    /// What it reports next.
    async fn next(&mut self) -> Observed {
        match self {
            Self::Script(script) => script.next().await,
            Self::Browser(browser) => browser.next().await,
        }
    }

    /// Sends a WebSocket frame through it.
    async fn send(&mut self, frame: &str) {
        match self {
            Self::Script(script) => script.send(frame).await,
            Self::Browser(browser) => browser.send(frame).await,
        }
    }
}
