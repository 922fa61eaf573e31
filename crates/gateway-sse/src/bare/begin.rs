//! From a request to the first bytes of its answer.

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Request, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Framing;
use super::head::{self, Follows};
use super::leave::close;
use super::seat::Seat;
use crate::chunk;
use crate::gateway::Gateway;
use crate::request::{self, Begun, Content};

/// Answers a request: with a stream, which is returned and has said nothing yet, or with everything there is to say.
pub(super) async fn begin(gateway: Arc<Gateway>, socket: TcpStream, head: Parts) -> Option<Arc<Seat>> {
    let stop = gateway.node.life.hard().clone();
    tokio::select! {
        seat = answer(gateway, socket, head) => seat,
        () = stop.cancelled() => None,
    }
}

async fn answer(gateway: Arc<Gateway>, mut socket: TcpStream, head: Parts) -> Option<Arc<Seat>> {
    let version = head.version;
    let framing = if version == Version::HTTP_10 { Framing::UntilClose } else { Framing::Chunked };
    let (head, content) = request::answer(&gateway, Request::from_parts(head, Body::empty())).await.into_parts();
    let follows = match &content {
        Content::Whole(bytes) => Follows::Bytes(bytes.len()),
        Content::Stream(_) => Follows::Stream(framing),
    };
    let mut out = Vec::with_capacity(1024);
    head::write(version, head.status, &head.headers, follows, gateway.node.clock.now(), &mut out);
    match content {
        Content::Whole(bytes) => {
            out.extend_from_slice(&bytes);
            // A client that takes nothing of so little is gone.
            let patience = gateway.options.stall_timeout.get();
            let said = tokio::time::timeout(patience, socket.write_all(&out)).await;
            if let Ok(Ok(())) = said {
                close(&mut socket, true).await;
            }
            None
        }
        Content::Stream(Begun { live, beginning }) => {
            match framing {
                _ if beginning.is_empty() => {}
                Framing::Chunked => chunk::write(&beginning, &mut out),
                Framing::UntilClose => out.extend_from_slice(&beginning),
            }
            Some(Seat::new(gateway, framing, socket, *live, out.into()))
        }
    }
}
