//! Fetching a key set.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::document;
use crate::key::Key;

/// Why a fetch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer: no address, no connection, no certificate to trust.
    Unreachable,
    /// No whole answer in time.
    Timeout,
    /// Another status than 200.
    Status(StatusCode),
    /// More bytes than allowed.
    TooLarge,
    /// It is not a key set that can be used.
    Document(&'static str),
}

impl Failure {
    /// The name, as in metrics.
    pub(super) const fn outcome(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Document(_) => "document",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no connection"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "the answer has the status {status}"),
            Self::TooLarge => f.write_str("the answer has more bytes than jwks.bytes_max"),
            Self::Document(problem) => write!(f, "the answer {problem}"),
        }
    }
}

/// The client for all issuers. It goes nowhere but where the configuration says: no redirects, no proxies of the
/// environment.
pub(crate) fn client() -> Result<Client, String> {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|_| {
            "auth.issuers has a jwks, but no HTTPS client can be made (are there root certificates?)".to_owned()
        })
}

pub(super) async fn fetch(
    client: &Client,
    url: &Url,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Vec<Key>, Failure> {
    let failed = |error: reqwest::Error| if error.is_timeout() { Failure::Timeout } else { Failure::Unreachable };
    // The time-out is for all of it, the body too.
    let mut answer = client.get(url.clone()).timeout(timeout).send().await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(Failure::Status(answer.status()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if text.len() + chunk.len() > bytes_max {
            return Err(Failure::TooLarge);
        }
        text.extend_from_slice(&chunk);
    }
    document::keys(&text).map_err(Failure::Document)
}
