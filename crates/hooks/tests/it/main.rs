//! Hooks from outside: real servers on loopback that answer well, badly, late and never.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what tests share")]

mod asking;
mod documented;
mod encrypted;
mod failures;
mod grpc;
mod http;
mod limits;
mod server;
