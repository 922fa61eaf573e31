//! Presence from outside: the engine's contract, and what who watches is told.

#![expect(clippy::unwrap_used, reason = "this is a test; clippy knows only its functions marked as such")]

mod cable;
mod crash;
mod engines;
mod grace;
mod log;
mod nodes;
mod storm;
mod support;
mod watching;
