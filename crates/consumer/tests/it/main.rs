//! Tests of consumers from outside.

#![expect(clippy::unwrap_used, reason = "this is a test; clippy knows only its functions marked as such")]

mod crash;
mod dead;
mod disk;
mod engines;
mod gaps;
mod leases;
mod listing;
mod model;
mod support;
mod waiting;
