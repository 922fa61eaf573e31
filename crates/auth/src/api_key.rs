//! API keys: `ffk_<id>_<secret>`. Only a hash of the secret is kept.

use std::fmt;

use fanfare_model::{Tenant, Timestamp};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Door, Grant, Secret};

/// What every API key begins with, so that it is told from a token, and found by scanners of leaked secrets.
pub const PREFIX: &str = "ffk_";

/// Characters of a secret: 43 of 62 kinds are 256 bits.
const SECRET_LENGTH: usize = 43;
/// Characters of an id that is made here: 71 bits, so that it is not drawn twice.
const ID_LENGTH: usize = 12;
/// The longest id.
const ID_BYTES_MAX: usize = 64;
/// The longest name.
const NAME_BYTES_MAX: usize = 255;

/// An API key as the configuration and the file of API keys hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The public part: 1–64 of `[A-Za-z0-9_-]`. Never used for another key.
    pub id: String,
    /// The hash of the secret part, `sha256:<64 hexadecimal digits>`.
    pub hash: KeyHash,
    /// What the key is for, for people. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tenant of whoever shows it. Default `default`.
    #[serde(default)]
    pub tenant: Tenant,
    /// What it allows. Default: nothing.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// The doors it opens. Default `["server"]`: an API key is a backend's, and must not get into a browser.
    #[serde(default = "server_only")]
    pub doors: Vec<Door>,
    /// When it was made, RFC 3339. Default: not known.
    #[serde(default, with = "crate::timestamp_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// When it ends, RFC 3339. Default: never.
    #[serde(default, with = "crate::timestamp_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
}

fn server_only() -> Vec<Door> {
    vec![Door::Server]
}

impl ApiKey {
    /// Checks what the types do not. The text begins with the name of the field.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !is_id(&self.id) {
            return Err(format!("id is {:?}; it must be 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 _ -", self.id));
        }
        match &self.name {
            Some(name) if name.len() > NAME_BYTES_MAX || name.contains(char::is_control) => {
                Err(format!("name must have at most {NAME_BYTES_MAX} bytes and no control characters"))
            }
            _ => Ok(()),
        }
    }
}

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// SHA-256 of the secret part. A plain hash is enough: the secret has 256 random bits and cannot be guessed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct KeyHash([u8; 32]);

const HASH_PREFIX: &str = "sha256:";

impl KeyHash {
    /// The hash of the secret part of a key.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether `secret` is the one, in the same time whether it is or not.
    pub(crate) fn matches(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

impl TryFrom<String> for KeyHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let problem = "the hash of an API key must be `sha256:` and 64 hexadecimal digits";
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(problem)?.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(problem);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(problem);
            *byte = digit(0)? << 4 | digit(1)?;
        }
        Ok(Self(hash))
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an API key to be made shall be.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// Its id; random if absent.
    pub id: Option<String>,
    /// What it is for, for people.
    pub name: Option<String>,
    /// The tenant of whoever shows it.
    pub tenant: Tenant,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// The doors it opens.
    pub doors: Vec<Door>,
    /// When it ends; never if absent.
    pub expires_at: Option<Timestamp>,
}

impl Default for KeyRequest {
    fn default() -> Self {
        Self {
            id: None,
            name: None,
            tenant: Tenant::default(),
            grants: Vec::new(),
            doors: server_only(),
            expires_at: None,
        }
    }
}

/// An API key that was just made.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// The key itself, `ffk_<id>_<secret>`. It is nowhere else: shown once, then lost.
    pub text: Secret,
    /// What is kept of it; also what stands in the configuration for a key that is to be kept there.
    pub key: ApiKey,
}

impl CreatedKey {
    /// Makes a key. Nothing is stored.
    pub fn generate(request: KeyRequest, now: Timestamp) -> Self {
        let id = request.id.unwrap_or_else(|| random_text(ID_LENGTH));
        let secret = random_text(SECRET_LENGTH);
        let text = Secret::new(format!("{PREFIX}{id}_{secret}"));
        let key = ApiKey {
            id,
            hash: KeyHash::of(&secret),
            name: request.name,
            tenant: request.tenant,
            grants: request.grants,
            doors: request.doors,
            created_at: Some(now),
            expires_at: request.expires_at,
        };
        Self { text, key }
    }
}

/// Letters and digits from the system's generator of secrets.
pub(crate) fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// The id and the secret of an API key's text. The secret has no `_`, so ids may.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.rsplit_once('_')?;
    (is_id(id) && secret.len() == SECRET_LENGTH).then_some((id, secret))
}

/// Where a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// In the configuration.
    Configuration,
    /// In the file of API keys.
    File,
}

/// An API key as it is shown to who manages them: without its hash.
#[derive(Debug, Clone, Serialize)]
pub struct KeyInfo {
    /// The public part.
    pub id: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tenant of whoever shows it.
    pub tenant: Tenant,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// The doors it opens.
    pub doors: Vec<Door>,
    /// Where it is kept.
    pub origin: KeyOrigin,
    /// When it was made, RFC 3339.
    #[serde(with = "crate::timestamp_text", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it ends, RFC 3339.
    #[serde(with = "crate::timestamp_text", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, RFC 3339.
    #[serde(with = "crate::timestamp_text", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl KeyInfo {
    pub(crate) fn new(key: &ApiKey, origin: KeyOrigin, revoked_at: Option<Timestamp>) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            tenant: key.tenant.clone(),
            grants: key.grants.clone(),
            doors: key.doors.clone(),
            origin,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at,
        }
    }
}
