//! The `[auth]` section of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fanfare_model::{ByteSize, Duration, Tenant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Algorithm, ApiKey, Door, Grant, Secret};

/// Who is let in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Who makes tokens, by name. The name is the `iss` that their tokens have, unless `iss` says otherwise.
    /// Default: none.
    pub issuers: BTreeMap<String, Issuer>,
    /// API keys of the configuration. Default: none. Keys that must be revocable at once without an edit
    /// here belong into `api_keys_file`.
    pub api_keys: Vec<ApiKey>,
    /// The file in which API keys made at run time and revocations are kept (hashed, mode 0600; written by
    /// this server and by `fanfare`'s commands). Default: none; then keys can be neither made nor revoked
    /// at run time.
    pub api_keys_file: Option<PathBuf>,
    /// The most API keys that `api_keys_file` holds. Default 10000: the file is written whole at each change,
    /// and this keeps it at a few MB.
    pub api_keys_max: usize,
    /// What somebody without a credential may do. Default: nothing; they are refused.
    pub anonymous: Option<Anonymous>,
    /// The most bytes a token may have. Default 8KiB: what fits into the head of a request everywhere.
    pub token_bytes_max: ByteSize,
    /// How many tokens of backends are remembered after they were verified, so that a backend that publishes with
    /// the same token all the time has it verified once. Default 1024: more backends than most have, and under a
    /// megabyte. 0 verifies each time.
    pub verified_tokens_max: usize,
    /// Tell clients only that their credentials are invalid, not why; the log and the metrics keep the
    /// reason. Default false: the reason helps the developer and tells an attacker nothing that opens a door.
    pub terse_refusals: bool,
    /// Allows short and well-known secrets. Not a key of the configuration: `--dev` sets it.
    #[serde(skip)]
    pub dev: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            issuers: BTreeMap::new(),
            api_keys: Vec::new(),
            api_keys_file: None,
            api_keys_max: 10_000,
            anonymous: None,
            token_bytes_max: ByteSize::kib(8),
            verified_tokens_max: 1024,
            terse_refusals: false,
            dev: false,
        }
    }
}

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
    /// Its keys, at least one; several while keys are being changed. Tokens are minted with the first that
    /// can sign.
    pub keys: Vec<KeySource>,
    /// The `aud` that its tokens need at each door.
    pub audiences: Audiences,
    /// The longest life of its tokens, `exp` minus `iat`. Default 24h: a token cannot be revoked, it must end.
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
            audiences: Audiences::default(),
            max_lifetime: Duration::from_secs(24 * 60 * 60),
            leeway: Duration::from_secs(30),
            types: Vec::new(),
            grants_default: Vec::new(),
        }
    }
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

/// What somebody without a credential may do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Anonymous {
    /// Whose topics they see. Default `default`.
    pub tenant: Tenant,
    /// The doors at which they are let in. Default `["client"]`: a backend can keep a secret.
    pub doors: Vec<Door>,
    /// What they may do. Default: nothing.
    pub grants: Vec<Grant>,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self { tenant: Tenant::default(), doors: vec![Door::Client], grants: Vec::new() }
    }
}

/// The most keys an issuer may have: a token without `kid` is tried with each.
const KEYS_MAX: usize = 16;
/// The longest leeway. A clock that is further off is broken, and expiry would mean little.
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest `iss` and audience, in bytes; RFC 7519 sets no limit, names in use are far shorter.
const NAME_BYTES_MAX: usize = 255;

impl Options {
    /// Checks what can be checked without reading the files it names. The text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.token_bytes_max.0 == 0 {
            return Err("auth.token_bytes_max is 0, so every token would be refused; remove it for 8KiB".to_owned());
        }
        let mut names = BTreeMap::new();
        for (name, issuer) in &self.issuers {
            issuer.validate(name)?;
            if let Some(other) = names.insert(issuer.iss(name), name) {
                return Err(format!(
                    "auth.issuers.{name}.iss is `{}`, as that of auth.issuers.{other}; give each issuer its own",
                    issuer.iss(name)
                ));
            }
        }
        let client: BTreeMap<_, _> =
            self.issuers.iter().map(|(name, issuer)| (&issuer.audiences.client, name)).collect();
        for (name, issuer) in &self.issuers {
            if let Some(other) = client.get(&issuer.audiences.server) {
                return Err(format!(
                    "auth.issuers.{name}.audiences.server is `{}`, which auth.issuers.{other}.audiences.client is as well; \
                     client and server doors must not share an audience, so choose another for one of them",
                    issuer.audiences.server
                ));
            }
        }
        let mut ids = BTreeSet::new();
        for (index, key) in self.api_keys.iter().enumerate() {
            key.validate().map_err(|problem| format!("auth.api_keys[{index}].{problem}"))?;
            if !ids.insert(&key.id) {
                return Err(format!(
                    "auth.api_keys[{index}].id is `{}`, as that of a key before; ids must differ",
                    key.id
                ));
            }
        }
        Ok(())
    }
}

impl Issuer {
    pub(crate) fn iss<'a>(&'a self, name: &'a str) -> &'a str {
        self.iss.as_deref().unwrap_or(name)
    }

    fn validate(&self, name: &str) -> Result<(), String> {
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
        if self.keys.is_empty() || self.keys.len() > KEYS_MAX {
            return Err(format!("{key}.keys has {} keys; give it 1 to {KEYS_MAX}", self.keys.len()));
        }
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

impl KeySource {
    fn validate(&self) -> Result<(), String> {
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
