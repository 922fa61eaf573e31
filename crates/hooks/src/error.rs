//! What can be wrong before anything is asked.

use std::io;
use std::path::PathBuf;

use fanfare_model::Kind;

/// Why hooks cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong; the text names the key and what to do.
    #[error("{0}")]
    Options(String),
    /// A file that the configuration names cannot be read.
    #[error("`{key}`: cannot read {path}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("cannot prepare TLS for `hooks`; look at `hooks.ca_file` and at the certificates that this system trusts")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}
