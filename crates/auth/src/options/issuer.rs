//! One who makes tokens, as the configuration has it.

use std::collections::{BTreeMap, BTreeSet};

use fanfare_model::{Duration, Tenant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KeySource;
use crate::{Algorithm, ClaimMap, Door, Grant, Jwks};

/// The most keys an issuer may have: a token without `kid` is tried with each.
const KEYS_MAX: usize = 16;
/// The longest leeway. A clock that is further off is broken, and expiry would mean little.
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest `iss` and audience, in bytes; RFC 7519 sets no limit, names in use are far shorter.
const NAME_BYTES_MAX: usize = 255;

/// One who makes tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// The `iss` of its tokens. Default: the issuer's name.
    pub iss: Option<String>,
    /// The tenant of whoever shows one of its tokens. Default `default`.
    pub tenant: Tenant,
    /// The algorithms its tokens may be signed with; each must fit one of the keys. Default: the usual one
    /// of each key (HS256 for a secret, RS256 for RSA, ES256 or ES384 by curve, `EdDSA`), because fewer are safer.
    pub algorithms: Vec<Algorithm>,
    /// Its keys; several while keys are being changed. Tokens are minted with the first that can sign. At least one,
    /// unless there is `jwks`.
    pub keys: Vec<KeySource>,
    /// Where it publishes its keys. Default: nowhere.
    pub jwks: Option<Jwks>,
    /// The `aud` that its tokens need at each door.
    pub audiences: Audiences,
    /// How its claims are read: `"fanfare"`, `"mercure"`, `"centrifugo"`, `"ably"`, or a table that says where things
    /// stand. Default `"fanfare"`.
    pub claims: ClaimMap,
    /// Which of `iss` and `aud` its tokens may lack. Default: neither. Without `iss` a token is taken for one of this
    /// issuer (only one may be so); without `aud` it opens client doors only.
    pub may_lack: Vec<Lack>,
    /// Makes this several issuers, one for each value: `each = { realm = ["a", "b"] }`, and `{realm}` in `iss`,
    /// `tenant`, `audiences` and `jwks.url` stands for the value. Default: none. Values are letters, digits, `-` and
    /// `_`; there is no other way to make an address out of a token, because whoever makes the token would choose where
    /// this server asks for keys.
    pub each: BTreeMap<String, Vec<String>>,
    /// The longest life of its tokens, `exp` minus `iat`. Default 24h: how long a stolen one is good if nobody revokes
    /// it, and how long revocations must be remembered.
    pub max_lifetime: Duration,
    /// How far its clock may be from ours, for `exp`, `nbf` and `iat`. Default 30s: more than any clock that
    /// is kept in time is off.
    pub leeway: Duration,
    /// The `typ` values that its tokens may have, e.g. `["at+jwt"]`, so that tokens it makes for other ends
    /// (ID tokens) are refused. Default: any, or none, because few issuers set it.
    pub types: Vec<String>,
    /// The grants of tokens that have neither `fanfare.grants` nor `topics`. Default: none.
    pub grants_default: Vec<Grant>,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            iss: None,
            tenant: Tenant::default(),
            algorithms: Vec::new(),
            keys: Vec::new(),
            jwks: None,
            claims: ClaimMap::default(),
            may_lack: Vec::new(),
            each: BTreeMap::new(),
            audiences: Audiences::default(),
            max_lifetime: Duration::from_secs(24 * 60 * 60),
            leeway: Duration::from_secs(30),
            types: Vec::new(),
            grants_default: Vec::new(),
        }
    }
}

/// A claim that tokens may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Lack {
    /// Who made the token.
    #[serde(rename = "iss")]
    Issuer,
    /// Whom it is for.
    #[serde(rename = "aud")]
    Audience,
}

/// The audience of each door. They must differ, or a browser's token would open the publishing API.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audiences {
    /// The `aud` needed where end users connect. Default `fanfare`.
    pub client: String,
    /// The `aud` needed where backends call. Default `fanfare-server`.
    pub server: String,
}

impl Default for Audiences {
    fn default() -> Self {
        Self { client: "fanfare".to_owned(), server: "fanfare-server".to_owned() }
    }
}

impl Audiences {
    /// The audience needed at `door`.
    pub fn of(&self, door: Door) -> &str {
        match door {
            Door::Client => &self.client,
            Door::Server => &self.server,
        }
    }
}

impl Issuer {
    pub(crate) fn iss<'a>(&'a self, name: &'a str) -> &'a str {
        self.iss.as_deref().unwrap_or(name)
    }

    /// Checks what can be checked without reading the files it names.
    pub(super) fn validate(&self, name: &str, dev: bool) -> Result<(), String> {
        let key = format!("auth.issuers.{name}");
        for (field, text) in [
            ("iss", self.iss(name)),
            ("audiences.client", &self.audiences.client),
            ("audiences.server", &self.audiences.server),
        ] {
            if text.is_empty() || text.len() > NAME_BYTES_MAX {
                return Err(format!("{key}.{field} has {} bytes; give it 1 to {NAME_BYTES_MAX}", text.len()));
            }
        }
        if self.keys.len() > KEYS_MAX || (self.keys.is_empty() && self.jwks.is_none()) {
            return Err(format!("{key}.keys has {} keys; give it 1 to {KEYS_MAX}, or set jwks", self.keys.len()));
        }
        if let Some(jwks) = &self.jwks {
            jwks.validate(dev).map_err(|problem| format!("{key}.jwks{problem}"))?;
        }
        self.claims.validate().map_err(|problem| format!("{key}.claims{problem}"))?;
        if self.max_lifetime < Duration::from_secs(1) {
            return Err(format!("{key}.max_lifetime is {}; tokens need at least 1s", self.max_lifetime));
        }
        if self.leeway > LEEWAY_MAX {
            return Err(format!(
                "{key}.leeway is {}; it may be at most {LEEWAY_MAX}: set the clocks instead",
                self.leeway
            ));
        }
        let mut kids = BTreeSet::new();
        for (index, source) in self.keys.iter().enumerate() {
            source.validate().map_err(|problem| format!("{key}.keys[{index}] {problem}"))?;
            if let Some(kid) = &source.kid
                && !kids.insert(kid)
            {
                return Err(format!("{key}.keys[{index}].kid is `{kid}`, as that of a key before; kids must differ"));
            }
        }
        Ok(())
    }
}
