//! The section `listeners.<name>.tls`.

use std::path::PathBuf;

use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the connections of a listener are encrypted. All files are PEM; they are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsOptions {
    /// The certificate that clients are shown, followed by those that lead to its authority.
    pub cert_file: PathBuf,
    /// The private key of the certificate: PKCS#8, PKCS#1 or SEC1.
    pub key_file: PathBuf,
    /// The authorities whose certificates clients must or may show (mutual TLS). Default: clients are not asked for one.
    /// With it every connection makes a full handshake, because a resumed one would not show its certificate again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is refused (`required`, default) or let in (`optional`). It has a meaning
    /// only with `client_ca_file`; one that no authority there has signed is refused either way.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// The oldest version of TLS that is spoken: `tls1.2` (default: some clients in use know nothing newer) or
    /// `tls1.3`.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// A client must have finished its handshake within this time, in which it may also wait for its turn. Default 10 s:
    /// enough for any real network, too short to collect slow ones.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Duration,
    /// The most handshakes at once on this listener; more wait. Default 512: they hold about 15 MiB, and at 100 ms each
    /// they are more in a second than a machine of few cores can sign.
    #[serde(default = "handshakes_max")]
    pub handshakes_max: u32,
}

/// What a client must show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    /// A certificate.
    #[default]
    Required,
    /// A certificate, or none.
    Optional,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "tls1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "tls1.3")]
    V13,
}

const fn handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn handshakes_max() -> u32 {
    512
}

impl TlsOptions {
    /// Checks what types cannot. The error names the key (within this section) and the fix.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.handshake_timeout.get().is_zero() {
            return Err("handshake_timeout: is zero, so every handshake would fail; write e.g. \"10s\"".to_owned());
        }
        if self.handshakes_max == 0 {
            return Err("handshakes_max: is 0, so every handshake would wait for ever; write e.g. 512".to_owned());
        }
        if self.client_ca_file.is_none() && self.client_auth == ClientAuth::Optional {
            return Err("client_auth: has no meaning without authorities; name them in client_ca_file".to_owned());
        }
        Ok(())
    }
}
