//! Where a key comes from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// Where a key comes from: exactly one of `secret`, `secret_file`, `public_key`, `public_key_file` and
/// `private_key_file`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySource {
    /// The `kid` of tokens signed with this key. Default: none; then it is tried for tokens without `kid`.
    pub kid: Option<String>,
    /// A shared secret for HMAC: at least 32 random bytes.
    pub secret: Option<Secret>,
    /// A file that holds such a secret; line breaks at its end do not count.
    pub secret_file: Option<PathBuf>,
    /// A public key (RSA of 2048 bits or more, P-256, P-384, Ed25519) in PEM.
    pub public_key: Option<String>,
    /// A file that holds such a key.
    pub public_key_file: Option<PathBuf>,
    /// A file that holds a private key in PEM (PKCS #8), for an issuer whose tokens this server mints.
    pub private_key_file: Option<PathBuf>,
}

impl KeySource {
    pub(super) fn validate(&self) -> Result<(), String> {
        let given = [
            self.secret.is_some(),
            self.secret_file.is_some(),
            self.public_key.is_some(),
            self.public_key_file.is_some(),
            self.private_key_file.is_some(),
        ];
        let count = given.into_iter().filter(|given| *given).count();
        if count != 1 {
            return Err(format!(
                "names {count} sources; give exactly one of secret, secret_file, public_key, public_key_file, \
                 private_key_file"
            ));
        }
        let kid_bytes_max = crate::token::KID_BYTES_MAX;
        match &self.kid {
            Some(kid) if kid.is_empty() || kid.len() > kid_bytes_max => {
                Err(format!("has a kid of {} bytes; give it 1 to {kid_bytes_max}, or none", kid.len()))
            }
            _ => Ok(()),
        }
    }
}
