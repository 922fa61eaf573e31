//! Decisions that the application takes: may this client connect, subscribe, publish, go on?
//!
//! [`Application`] implements [`fanfare_session::Hooks`]: it puts a question to the application over HTTP (JSON) or
//! gRPC (`fanfare.v1.Hooks`), signed in the manner of Standard Webhooks, and reads its verdict. What cannot be
//! answered in time is not done, unless the hook says otherwise (`on_error`).
//!
//! What this crate is not: it decides nothing itself, knows no client and no transport of clients, and delivers no
//! events (webhooks do).
//!
//! Reading order: [`Options`], [`Application`], `line.rs` (one hook: time-out, breaker, places), `http.rs` and
//! `grpc.rs` (the two roads), `answer.rs`.

mod answer;
mod application;
mod breaker;
mod error;
mod fault;
mod grpc;
mod http;
mod line;
mod options;
mod question;
mod signature;

pub mod metrics;

pub use application::Application;
pub use error::Error;
pub use options::{BreakerOptions, HookOptions, OnError, Options};
