//! The engine against real servers.

mod coordination;
mod failing;
mod keeping;
mod logs;
mod outbox;
mod presence;
mod support;
mod transactions;
