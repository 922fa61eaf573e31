//! Tests of the engines from outside.

#![expect(clippy::unwrap_used, reason = "this is a test; clippy knows only its functions marked as such")]

mod crash;
mod disk;
mod engines;
mod model;
mod refusal;
