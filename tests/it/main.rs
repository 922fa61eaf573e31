//! End-to-end tests: the real binary, from outside.
//!
//! Which test covers which acceptance case is listed in `tests/README.md`.
#![cfg(test)]

mod clients;
mod disk;
mod drain;
mod hostile;
mod house;
mod http_api;
mod restart;
mod resume;
mod slow_reader;
mod sse;
mod traces;
mod websocket;
