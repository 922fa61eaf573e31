//! Where an issuer publishes its keys, as the configuration says it.

use std::path::PathBuf;

use fanfare_model::{ByteSize, Duration};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an issuer publishes its keys (a JSON Web Key Set, RFC 7517). They are fetched at the start, every now and
/// then, and when a token names a key that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jwks {
    /// The address, e.g. `https://id.example/.well-known/jwks.json`. No part of a token ever becomes part of it, and
    /// no redirect is followed. No default.
    pub url: String,
    /// The certificates of authorities (PEM) that may vouch for the server at an `https` address, and no others; read at
    /// the start. Default: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How often the keys are fetched. Default 15m: so long a key that its issuer took away goes on verifying. A new
    /// key is noticed at once, by the first token that names it.
    pub refresh: Duration,
    /// How long a fetch may take. Default 5s: clients wait for it.
    pub timeout: Duration,
    /// How long the last keys hold while no fetch succeeds. Default 24h: an issuer that is down for a night must not
    /// lock everybody out.
    pub keep: Duration,
    /// The most bytes of an answer. Default 64KiB: the 32 keys that a set may have, with certificates.
    pub bytes_max: ByteSize,
    /// Allows `http://` to other machines, where whoever stands on the way can make tokens. Default false; on this
    /// machine, and with `--dev`, it is always allowed.
    pub http_allowed: bool,
}

impl Default for Jwks {
    fn default() -> Self {
        Self {
            url: String::new(),
            ca_file: None,
            refresh: Duration::from_secs(15 * 60),
            timeout: Duration::from_secs(5),
            keep: Duration::from_secs(24 * 60 * 60),
            bytes_max: ByteSize::kib(64),
            http_allowed: false,
        }
    }
}

impl Jwks {
    /// Checks it. The text is the rest of a sentence that begins with its place.
    pub(crate) fn validate(&self, dev: bool) -> Result<(), String> {
        let url = self.address(dev)?;
        if self.ca_file.is_some() && url.scheme() != "https" {
            return Err(".ca_file has no meaning without https; remove it, or write https in url".to_owned());
        }
        let second = Duration::from_secs(1);
        if self.refresh < second {
            return Err(format!(".refresh is {}; it must be at least 1s", self.refresh));
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > Duration::from_secs(60) {
            return Err(format!(".timeout is {}; it must be 1ms to 60s", self.timeout));
        }
        if self.keep < self.refresh {
            return Err(format!(".keep is {}, less than the {} of refresh; raise it", self.keep, self.refresh));
        }
        if self.bytes_max.0 == 0 {
            return Err(".bytes_max is 0, so no answer would be read; remove it for 64KiB".to_owned());
        }
        Ok(())
    }

    /// The address, checked.
    pub(super) fn address(&self, dev: bool) -> Result<Url, String> {
        let problem = |what: &str| Err(format!(".url is `{}`, {what}", self.url));
        if self.url.contains(['{', '}']) {
            return problem("which has a `{` or `}` in it; name the values in `each`");
        }
        let Ok(url) = Url::parse(&self.url) else {
            return problem("which is not an address; write it like https://id.example/.well-known/jwks.json");
        };
        let is_here = match url.host_str() {
            Some("localhost" | "[::1]") => true,
            Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
            None => false,
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here || dev || self.http_allowed => {}
            "http" => return problem("which others could answer for; use https, or set http_allowed"),
            _ => return problem("which is neither https nor http"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return problem("which has a user or a password in it; remove them");
        }
        Ok(url)
    }
}
