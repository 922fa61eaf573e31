//! The gateway over real sockets, with clients made with tonic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what tests share")]

mod administration;
mod consuming;
mod hostile;
mod listening;
mod publishing;
mod session;
mod support;
mod tools;
mod web;
