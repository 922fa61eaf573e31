//! What this crate promises, tried from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helping functions as well")]

mod algorithms;
mod api_keys;
mod configuration;
mod forge;
mod principals;
mod random;
mod refusals;
mod security_log;
