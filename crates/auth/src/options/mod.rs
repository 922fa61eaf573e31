//! The `[auth]` section of the configuration.

mod each;
mod issuer;
mod key_source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fanfare_model::{ByteSize, Duration, Tenant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use issuer::{Audiences, Issuer, Lack};
pub use key_source::KeySource;

use crate::{ApiKey, Door, Grant, Resume};

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
    /// The file in which revocations of tokens and blocked users are kept (mode 0600; shared by processes as
    /// `api_keys_file` is). Default: `revocations.json` in `engine.path` where the embedded engine runs, else none; then
    /// they are kept in the engine's log, for all nodes.
    pub revocations_file: Option<PathBuf>,
    /// The most revocations that are in force at once. Default 10000: the file is written whole at each change, and
    /// this keeps it at a few MB. One is forgotten when the tokens it can concern have ended.
    pub revocations_max: usize,
    /// How clients that were cut off come back without their credential.
    pub resume: Resume,
    /// How long a ticket may be shown after it was made. Default 30s: it is for the connection that follows at once.
    pub ticket_lifetime: Duration,
    /// The most tickets made within `ticket_lifetime`. Default 100000: 30 MB at worst. Not bounded where nodes share an
    /// engine: there a ticket is sealed with `resume.keys`, and no node keeps it.
    pub tickets_max: usize,
    /// How long a session may last that came in with a ticket that a backend asked for in a user's name. Default 1h,
    /// as for a token.
    pub ticket_session: Duration,
    /// The cookie that holds a credential, e.g. `__Host-fanfare`, where a page of an allowed origin connects. Default:
    /// none is read.
    pub cookie: Option<String>,
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
    /// Whether other nodes take what this one gives out: resume tokens and tickets. Then there must be keys in `resume`.
    /// Not a key of the configuration: the engine decides it.
    #[serde(skip)]
    pub shared: bool,
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
            revocations_file: None,
            revocations_max: 10_000,
            resume: Resume::default(),
            ticket_lifetime: Duration::from_secs(30),
            tickets_max: 100_000,
            ticket_session: Duration::from_secs(60 * 60),
            cookie: None,
            anonymous: None,
            token_bytes_max: ByteSize::kib(8),
            verified_tokens_max: 1024,
            terse_refusals: false,
            shared: false,
            dev: false,
        }
    }
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

/// The longest life of a ticket. It stands in URLs, which end up in logs.
const TICKET_LIFETIME_MAX: Duration = Duration::from_secs(5 * 60);

impl Options {
    /// Checks what can be checked without reading the files it names. The text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.token_bytes_max.0 == 0 {
            return Err("auth.token_bytes_max is 0, so every token would be refused; remove it for 8KiB".to_owned());
        }
        let issuers = self.each_issuer()?;
        let mut names = BTreeMap::new();
        for (name, issuer) in &issuers {
            issuer.validate(name, self.dev)?;
            if let Some(other) = names.insert(issuer.iss(name), name) {
                return Err(format!(
                    "auth.issuers.{name}.iss is `{}`, as that of auth.issuers.{other}; give each issuer its own",
                    issuer.iss(name)
                ));
            }
        }
        let mut nameless = issuers.iter().filter(|(_, issuer)| issuer.may_lack.contains(&Lack::Issuer));
        if let (Some((one, _)), Some((other, _))) = (nameless.next(), nameless.next()) {
            return Err(format!(
                "auth.issuers.{one} and auth.issuers.{other} may both lack `iss`, so their tokens could not be told \
                 apart; only one may"
            ));
        }
        let client: BTreeMap<_, _> = issuers.iter().map(|(name, issuer)| (&issuer.audiences.client, name)).collect();
        for (name, issuer) in &issuers {
            if let Some(other) = client.get(&issuer.audiences.server) {
                return Err(format!(
                    "auth.issuers.{name}.audiences.server is `{}`, which auth.issuers.{other}.audiences.client is as well; \
                     client and server doors must not share an audience, so choose another for one of them",
                    issuer.audiences.server
                ));
            }
        }
        self.resume.validate(self.shared)?;
        if self.ticket_lifetime < Duration::from_secs(1) || self.ticket_lifetime > TICKET_LIFETIME_MAX {
            return Err(format!(
                "auth.ticket_lifetime is {}; it must be 1s to {TICKET_LIFETIME_MAX}",
                self.ticket_lifetime
            ));
        }
        if self.ticket_session < Duration::from_secs(1) {
            return Err(format!("auth.ticket_session is {}; it must be at least 1s", self.ticket_session));
        }
        if let Some(cookie) = &self.cookie {
            validate_cookie(cookie, self.dev)?;
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

/// Checks the name of the cookie. The prefix has browsers keep it to this host and to TLS.
fn validate_cookie(name: &str, dev: bool) -> Result<(), String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
        return Err(format!("auth.cookie is {name:?}; a cookie's name is 1 to 64 letters, digits, `-` and `_`"));
    }
    if !dev && !name.starts_with("__Host-") {
        return Err(format!(
            "auth.cookie is `{name}`; name it `__Host-{name}`, so that browsers take it over TLS and from this host only"
        ));
    }
    Ok(())
}
