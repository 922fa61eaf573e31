//! The gateway from outside: a real listener, hyper, and tungstenite or a bare socket as client.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what tests share")]

mod compression;
mod hostile;
mod presence;
mod proto;
mod resume;
mod server;
mod session;
mod stuck;
mod support;
