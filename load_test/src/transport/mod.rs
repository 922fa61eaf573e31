//! The wire formats that readers and publishers speak, each in a file: enough of it to verify, and no more.
//!
//! A format knows bytes and nothing of servers; what the messages mean is the adapter's knowledge. Another one is
//! a file here and an arm in [`crate::engine::reader`].

pub(crate) mod chunked;
pub(crate) mod h2;
pub(crate) mod head;
pub(crate) mod sse;
pub(crate) mod ws;

use serde::{Deserialize, Serialize};

/// How a reader gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// Server-Sent Events over HTTP/1.1.
    Sse,
    /// WebSocket, text messages.
    Ws,
    /// gRPC: a stream of messages over an HTTP/2 connection of its own.
    Grpc,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ws => "ws",
            Self::Grpc => "grpc",
        }
    }
}
