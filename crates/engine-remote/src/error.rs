//! Why a hub cannot be used, for the operator.

use fanfare_model::Kind;

/// Errors of connecting to a hub, named after what the operator can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the options is wrong: which, and the fix.
    #[error("engine.remote.{0}")]
    Options(String),
    /// A file that the options name cannot be read.
    #[error("engine.remote.{key}: {path} cannot be read; see that it exists and that this user may read it")]
    File {
        /// The key that names it, within the section.
        key: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("the hub at {url} does not answer; see that it runs, and that engine.remote.url is right")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What was tried.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody answers there, and not as a hub does.
    #[error("what answers at {url} is no hub; name the listener in engine.remote.url that serves `engine` there")]
    NoHub {
        /// Where it should be.
        url: String,
        /// What was answered.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not accept this node.
    #[error("the hub at {url} does not accept this node; give both the same engine.remote.secret")]
    Denied {
        /// Where it is.
        url: String,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Options(_) | Self::File { .. } => Kind::Invalid,
            // Also what is no hub: a proxy before it may answer in its place while it starts.
            Self::Unreachable { .. } | Self::NoHub { .. } => Kind::Unavailable,
            Self::Denied { .. } => Kind::Denied,
        }
    }
}
