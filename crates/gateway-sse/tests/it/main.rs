//! The gateway over a memory log, driven through its door; the numbers of cases are those of
//! `reference/sse.md` section 9.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, not what they share")]

#[path = "../../src/parser.rs"]
mod parser;

mod bare;
mod delivery;
mod documents;
mod ends;
mod nginx;
mod poll;
mod presence;
mod refusals;
mod requests;
mod resume;
mod server;
mod sessions;
mod tickets;
