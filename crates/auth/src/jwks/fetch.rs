//! Fetching a key set.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use rustls::CertificateError;

use super::document;
use crate::key::Key;

/// Why a fetch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer: no address, no connection.
    Unreachable,
    /// The server's certificate is not to be trusted. Why, as the rest of a sentence.
    Certificate(&'static str),
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
            Self::Certificate(_) => "certificate",
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
            Self::Certificate(problem) => write!(f, "the server's certificate {problem}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "the answer has the status {status}"),
            Self::TooLarge => f.write_str("the answer has more bytes than jwks.bytes_max"),
            Self::Document(problem) => write!(f, "the answer {problem}"),
        }
    }
}

pub(super) async fn fetch(
    client: &Client,
    url: &Url,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Vec<Key>, Failure> {
    // The time-out is for all of it, the body too.
    let mut answer = client.get(url.clone()).timeout(timeout).send().await.map_err(|error| failure(&error))?;
    if answer.status() != StatusCode::OK {
        return Err(Failure::Status(answer.status()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if text.len() + chunk.len() > bytes_max {
            return Err(Failure::TooLarge);
        }
        text.extend_from_slice(&chunk);
    }
    document::keys(&text).map_err(Failure::Document)
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Timeout;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(problem)) = error.downcast_ref() {
            return Failure::Certificate(distrust(problem));
        }
        // An I/O error does not name what it holds as its source.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    Failure::Unreachable
}

/// Why a certificate is not trusted, as the rest of a sentence, with what to do.
fn distrust(problem: &CertificateError) -> &'static str {
    match problem {
        // The latter: of an authority with the name of one that is trusted, but another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is signed by no authority that is trusted here; name its authority in jwks.ca_file, or have this machine \
             trust it"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name than that of the address"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
        CertificateError::Revoked => "was revoked",
        _ => "cannot be verified",
    }
}
