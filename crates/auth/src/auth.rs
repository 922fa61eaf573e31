//! The one place that lets somebody in.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_model::{Clock, Timestamp};

use crate::claims::Claims;
use crate::issuer::{Issuer, normal_type};
use crate::key_store::KeyStore;
use crate::keys_file::KeysFile;
use crate::mint::{self, MintRequest};
use crate::options::{Anonymous, Options};
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::revocation::Revocations;
use crate::token::Token;
use crate::verified::Verified;
use crate::{CreatedKey, Door, Error, KeyInfo, KeyRequest, api_key, grant};

/// Turns credentials into [`Principal`]s. Clones are handles to the same.
///
/// It never does network IO, and reads files only when made and where a method says so: nothing in a credential
/// makes it fetch a key.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    /// By the `iss` of their tokens.
    issuers: HashMap<String, Issuer>,
    anonymous: Option<AnonymousAccess>,
    keys: Arc<KeyStore>,
    token_bytes_max: usize,
    verified: Verified,
    terse: bool,
    /// The issuer's name of principals let in by an API key.
    keys_issuer: Arc<str>,
}

struct AnonymousAccess {
    doors: Vec<Door>,
    principal: Principal,
}

/// What is known of a credential when it is refused, for the security log.
#[derive(Default)]
struct Seen {
    issuer: Option<Arc<str>>,
    token_id: Option<String>,
    key_id: Option<String>,
}

impl Auth {
    /// Checks `options`, reads the keys they name, and the file of API keys.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        options.validate().map_err(Error::Configuration)?;
        let mut issuers = HashMap::with_capacity(options.issuers.len());
        for (name, issuer) in &options.issuers {
            let issuer = Issuer::load(name, issuer, options.dev).map_err(Error::Configuration)?;
            issuers.insert(issuer.iss.clone(), issuer);
        }
        let file = options.api_keys_file.map(KeysFile::new);
        let keys = Arc::new(KeyStore::open(options.api_keys, file, options.api_keys_max)?);
        let inner = Inner {
            clock,
            issuers,
            anonymous: options.anonymous.map(AnonymousAccess::new),
            keys,
            token_bytes_max: options.token_bytes_max.as_usize(),
            verified: Verified::new(options.verified_tokens_max),
            terse: options.terse_refusals,
            keys_issuer: Arc::from("api-keys"),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Who shows `credential` (a token, or an API key) at `door`. An empty one, or none, is
    /// [`Reason::MissingCredential`]. A refusal is counted and goes to the security log.
    pub fn authenticate(&self, door: Door, credential: &str) -> Result<Principal, Refusal> {
        let inner = &*self.inner;
        let mut seen = Seen::default();
        let now = inner.clock.now();
        let verdict = if credential.is_empty() {
            Err(Refusal::new(Reason::MissingCredential, "a token or an API key is needed"))
        } else if credential.starts_with(api_key::PREFIX) {
            seen.issuer = Some(Arc::clone(&inner.keys_issuer));
            inner.keys.authenticate(door, credential, now, &inner.keys_issuer, &mut seen.key_id)
        } else if door == Door::Server {
            inner.verify_token_once(door, credential, now, &mut seen)
        } else {
            inner.verify_token(door, credential, now, &mut seen)
        };
        match verdict {
            Ok(principal) => {
                crate::metrics::accepted(door, &principal.credential);
                Ok(principal)
            }
            Err(refusal) => {
                seen.log(door, &refusal);
                crate::metrics::refused(door, refusal.reason());
                Err(refusal.with_terse(inner.terse))
            }
        }
    }

    /// Who comes to `door` without a credential; `None` if nobody may. Then [`Auth::authenticate`] with an empty
    /// credential gives the refusal.
    pub fn anonymous(&self, door: Door) -> Option<Principal> {
        let access = self.inner.anonymous.as_ref().filter(|access| access.doors.contains(&door))?;
        let principal = Principal { door, ..access.principal.clone() };
        crate::metrics::accepted(door, &principal.credential);
        Some(principal)
    }

    /// Whether anybody can be let in at all: there is an issuer, an API key, or anonymous access.
    pub fn accepts_any(&self) -> bool {
        let inner = &*self.inner;
        !inner.issuers.is_empty()
            || !inner.keys.is_empty()
            || inner.anonymous.as_ref().is_some_and(|access| !access.doors.is_empty())
    }

    /// Makes a token, for an issuer that has a key here that can sign. A token that would not be let in at its
    /// door is not handed out: [`Error::Invalid`] says why.
    pub fn mint(&self, request: MintRequest) -> Result<String, Error> {
        let inner = &*self.inner;
        let (door, now) = (request.door, inner.clock.now());
        let issuer = self.issuer_for(request.issuer.as_deref())?;
        let token = mint::mint(issuer, request, now)?;
        match inner.verify_token(door, &token, now, &mut Seen::default()) {
            Ok(_) => Ok(token),
            Err(refusal) => Err(Error::Invalid(format!("no such token is made, as it would be refused: {refusal}"))),
        }
    }

    fn issuer_for(&self, name: Option<&str>) -> Result<&Issuer, Error> {
        let issuers = &self.inner.issuers;
        let names = || {
            let mut names: Vec<_> = issuers.values().map(|issuer| format!("`{}`", issuer.name)).collect();
            names.sort_unstable();
            names.join(", ")
        };
        match name {
            _ if issuers.is_empty() => {
                Err(Error::NotFound("there is no issuer; add one to auth.issuers, or use --dev".to_owned()))
            }
            Some(name) => issuers
                .values()
                .find(|issuer| &*issuer.name == name)
                .ok_or_else(|| Error::NotFound(format!("there is no issuer `{name}`; there are {}", names()))),
            None if issuers.len() > 1 => {
                Err(Error::Invalid(format!("there are several issuers; name one of {}", names())))
            }
            None => issuers.values().next().ok_or(Error::Signing),
        }
    }

    /// Makes an API key and keeps its hash in the file of API keys. Writes to disk: not for a runtime's worker.
    pub fn create_key(&self, request: KeyRequest) -> Result<CreatedKey, Error> {
        self.inner.keys.create(request, self.inner.clock.now())
    }

    /// The API keys, of the configuration and of the file, revoked ones as well, by id.
    pub fn list_keys(&self) -> Vec<KeyInfo> {
        self.inner.keys.list()
    }

    /// Revokes an API key at once and for good, one of the configuration as well; a revoked one stays so. If the
    /// file cannot be written, the key is revoked until the next start and the error says so. Writes to disk: not
    /// for a runtime's worker.
    pub fn revoke_key(&self, id: &str) -> Result<(), Error> {
        self.inner.keys.revoke(id, self.inner.clock.now())?;
        tracing::info!(target: "fanfare::security", key_id = id, "API key revoked");
        Ok(())
    }

    /// Reads the file of API keys again if another process has changed it; whether it had. Call it every second
    /// or so. If it fails, what was known stays. Asks the disk: not for a runtime's worker.
    pub fn reload_keys(&self) -> Result<bool, Error> {
        self.inner.keys.reload()
    }

    /// Tells of revocations from now on.
    pub fn revocations(&self) -> Revocations {
        Revocations::new(Arc::clone(&self.inner.keys))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("issuers", &self.inner.issuers.keys()).finish_non_exhaustive()
    }
}

impl AnonymousAccess {
    fn new(options: Anonymous) -> Self {
        let principal = Principal {
            tenant: options.tenant,
            user: None,
            issuer: Arc::from("anonymous"),
            credential: Credential::Anonymous,
            expires_at: None,
            info: None,
            subscribe: Vec::new(),
            door: Door::Client,
            grants: grant::expand(&options.grants, None),
        };
        Self { doors: options.doors, principal }
    }
}

impl Inner {
    fn verify_token(&self, door: Door, text: &str, now: Timestamp, seen: &mut Seen) -> Result<Principal, Refusal> {
        let token = Token::parse(text, self.token_bytes_max)?;
        let header = token.header()?;
        seen.key_id = header.kid.as_deref().map(str::to_owned);
        let claims = Claims::parse(&token.payload)?;
        // What the token says of its issuer only picks among the configured ones.
        let issuer = self.issuers.get(&claims.issuer()?).ok_or_else(|| {
            Refusal::new(Reason::UnknownIssuer, "no issuer with the `iss` of this token is configured here")
        })?;
        seen.issuer = Some(Arc::clone(&issuer.name));
        issuer.verify(&header, &text.as_bytes()[..token.signed_bytes], &token.signature)?;
        // From here on the token says what its issuer said.
        let id = claims.id()?;
        seen.token_id.clone_from(&id);
        if !issuer.types.is_empty() {
            let typ = header.typ.as_deref().map(normal_type);
            if !typ.is_some_and(|typ| issuer.types.contains(&typ)) {
                let sentence = format!("the token's `typ` is not one of {}", issuer.types.join(", "));
                return Err(Refusal::new(Reason::WrongType, sentence));
            }
        }
        claims.admit(issuer, id, door, now)
    }

    /// As [`Inner::verify_token`]; a token that was verified lately is not verified again.
    fn verify_token_once(&self, door: Door, text: &str, now: Timestamp, seen: &mut Seen) -> Result<Principal, Refusal> {
        if let Some(principal) = self.verified.find(text, now) {
            return Ok(principal);
        }
        let principal = self.verify_token(door, text, now, seen)?;
        let issuer = self.issuers.values().find(|issuer| issuer.name == principal.issuer);
        if let (Some(issuer), Some(expires_at)) = (issuer, principal.expires_at) {
            self.verified.remember(text, &principal, expires_at.plus(issuer.leeway));
        }
        Ok(principal)
    }
}

impl Seen {
    /// Writes to the security log. Never the credential; what came from it unverified is escaped.
    fn log(&self, door: Door, refusal: &Refusal) {
        tracing::info!(
            target: "fanfare::security",
            reason = refusal.reason().code(),
            claim = refusal.claim(),
            door = door.as_str(),
            issuer = self.issuer.as_deref(),
            token_id = self.token_id.as_deref().map(tracing::field::debug),
            key_id = self.key_id.as_deref().map(tracing::field::debug),
            "credential refused"
        );
    }
}
