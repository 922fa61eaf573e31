//! What this crate promises, tried from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helping functions as well")]

mod algorithms;
mod api_keys;
mod claims;
mod configuration;
mod documents;
mod forge;
mod idp;
mod principals;
mod published;
mod random;
mod refusals;
mod resume;
mod revocations;
mod security_log;
mod tickets;
