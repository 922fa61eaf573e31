//! The API over a log in memory, asked through its router.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what tests share")]

mod admin;
mod consumers;
mod documents;
mod history;
mod node;
mod presence;
mod publish;
mod support;
mod tokens;
mod validation;
