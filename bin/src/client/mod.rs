//! What the client commands share: where the server is, requests, and following a topic over either transport.

mod door;
mod event_stream;
mod follow;
mod request;
mod show;
mod sse;
mod start;
mod ws;

pub(crate) use door::{API, ClientDoor, Door, ServerDoor};
pub(crate) use follow::{Follow, Transport};
pub(crate) use request::{Requests, send, unreachable};
pub(crate) use show::Show;
pub(crate) use start::Start;

use std::future::Future;

use crate::failure::{Code, Failure};

/// Runs a client command to its end.
pub(crate) fn run<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because(Code::SystemRefused, "a runtime cannot be started", error))?;
    runtime.block_on(command)
}
