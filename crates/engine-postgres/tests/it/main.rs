//! The engine against real servers.

mod access;
mod coordination;
mod failing;
mod keeping;
mod logs;
mod outbox;
mod plans;
mod pooler;
mod presence;
mod support;
mod transactions;
