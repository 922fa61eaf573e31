//! TLS: what is made of the files that a listener or the command line names.
//!
//! [`server()`] makes what a listener speaks with, [`client()`] what the client commands speak with, and [`authority`] makes
//! certificates for development. Nothing here waits for a socket: that is `serve/tls.rs`.

mod certificate;
mod client;
mod files;
mod server;

pub(crate) mod authority;

pub(crate) use certificate::Certificate;
pub(crate) use client::{ClientTls, client};
pub(crate) use server::{Identity, server};

/// What cannot be used: the key that names it, what is wrong with it, and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub key: &'static str,
    pub what: String,
    pub fix: &'static str,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.fix)
    }
}
