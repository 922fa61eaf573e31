//! End-to-end tests: the real binary, from outside.
//!
//! Which test covers which acceptance case is listed in `tests/README.md`.
#![cfg(test)]

mod clients;
mod cluster;
mod control;
mod deploy;
mod disk;
mod drain;
mod every;
mod examples;
mod faults;
mod goaway;
mod grpc;
mod hooks;
mod hostile;
mod house;
mod http_api;
mod identity;
mod jwks;
mod limits;
mod openapi;
mod pasted;
mod payloads;
mod presence;
mod restart;
mod resume;
mod slow_reader;
mod sse;
mod start;
mod tls;
mod traces;
mod websocket;
