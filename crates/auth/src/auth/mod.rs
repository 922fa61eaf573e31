//! The one place that lets somebody in.

mod keys;
mod resume;
mod shared_ticket;
mod ticket;
mod token;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, Timestamp};
use tokio::sync::watch;

use crate::issuer::Issuer;
use crate::jwks::{Clients, KeySet};
use crate::key_store::KeyStore;
use crate::keys_file::KeysFile;
use crate::options::{Anonymous, Lack, Options};
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::resume::{Purpose, Sealer};
use crate::revocation::{self, Revocations, RevocationsFile};
use crate::tickets::{self, Tickets};
use crate::verified::Verified;
use crate::{Door, Error, api_key, grant};

pub use shared_ticket::Shown;

/// Turns credentials into [`Principal`]s. Clones are handles to the same.
///
/// It reads files only when made and where a method says so. The network it asks for nothing but the keys that
/// issuers publish, at addresses of the configuration and from a task of its own ([`Auth::start`]): nothing in a
/// credential says where, and only every 30 s can one say when.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    /// By the `iss` of their tokens.
    issuers: HashMap<String, Arc<Issuer>>,
    /// By their configured names.
    by_name: HashMap<Arc<str>, Arc<Issuer>>,
    /// Whose tokens may lack `iss`.
    nameless: Option<Arc<Issuer>>,
    anonymous: Option<AnonymousAccess>,
    keys: Arc<KeyStore>,
    revocations: Arc<revocation::Store>,
    /// Grows whenever something may have been revoked.
    generation: Arc<watch::Sender<u64>>,
    token_bytes_max: usize,
    verified: Verified,
    sealer: Sealer,
    resume_window: Duration,
    /// Those that only this node takes.
    tickets: Tickets,
    /// Seals those that every node takes.
    shared_tickets: Option<Sealer>,
    ticket_lifetime: Duration,
    ticket_session: Duration,
    cookie: Option<String>,
    terse: bool,
    /// The issuer's name of principals let in by an API key.
    keys_issuer: Arc<str>,
    /// The issuer's name of principals let in by a ticket that a backend asked for.
    tickets_issuer: Arc<str>,
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
    /// Checks `options`, reads the keys they name, and the files of API keys and of revocations. Asks nothing of the
    /// network.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        options.validate().map_err(Error::Configuration)?;
        let by_name = issuers(&options, &clock).map_err(Error::Configuration)?;
        let secrets = options.resume.secrets(options.dev).map_err(Error::Configuration)?;
        let generation = Arc::new(watch::Sender::new(0));
        let keys_file = options.api_keys_file.map(KeysFile::new);
        let keys = KeyStore::open(options.api_keys, keys_file, options.api_keys_max, Arc::clone(&generation))?;
        let longest = by_name.values().map(|issuer| issuer.longest()).max().unwrap_or_default();
        let longest = longest.max(options.ticket_session.get().saturating_add(options.ticket_lifetime.get()));
        let file = options.revocations_file.map(RevocationsFile::new);
        let revocations = revocation::Store::open(file, options.revocations_max, longest, Arc::clone(&generation))?;
        let inner = Inner {
            clock,
            issuers: by_name.values().map(|issuer| (issuer.iss.clone(), Arc::clone(issuer))).collect(),
            nameless: by_name.values().find(|issuer| issuer.may_lack.contains(&Lack::Issuer)).cloned(),
            by_name,
            anonymous: options.anonymous.map(AnonymousAccess::new),
            keys: Arc::new(keys),
            revocations: Arc::new(revocations),
            generation,
            token_bytes_max: options.token_bytes_max.as_usize(),
            verified: Verified::new(options.verified_tokens_max),
            sealer: Sealer::new(Purpose::Resume, &secrets),
            resume_window: options.resume.window.get(),
            tickets: Tickets::new(options.ticket_lifetime.get(), options.tickets_max),
            shared_tickets: options.shared.then(|| Sealer::new(Purpose::Ticket, &secrets)),
            ticket_lifetime: options.ticket_lifetime.get(),
            ticket_session: options.ticket_session.get(),
            cookie: options.cookie,
            terse: options.terse_refusals,
            keys_issuer: Arc::from("api-keys"),
            tickets_issuer: Arc::from("tickets"),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a task for each issuer that publishes its keys, which fetches them now and from then on; on the current
    /// runtime. Without it their tokens are refused with [`Reason::KeysUnavailable`]. Call once per node.
    pub fn start(&self, life: &Lifecycle) {
        self.inner.by_name.values().filter_map(|issuer| issuer.published.as_ref()).for_each(|set| set.start(life));
    }

    /// Who shows `credential` (a token, an API key, or a resume token) at `door`. An empty one, or none, is
    /// [`Reason::MissingCredential`]. A refusal is counted and goes to the security log.
    ///
    /// It does not wait: a token with a key that its issuer began to publish a moment ago is refused, and the keys are
    /// fetched meanwhile. Where one can wait, use [`Auth::admit`].
    pub fn authenticate(&self, door: Door, credential: &str) -> Result<Principal, Refusal> {
        let inner = &*self.inner;
        let (now, mut seen) = (inner.clock.now(), Seen::default());
        let verdict = inner.judge(door, credential, now, &mut seen);
        // Asked for, not waited for.
        drop(inner.ask_for_keys(&verdict, &seen, now));
        inner.conclude(door, verdict, &seen)
    }

    /// As [`Auth::authenticate`]; if the key of a token is not known and its issuer publishes keys, these are fetched
    /// first, unless that was done within 30 s. Waits for as long as a fetch may take (`jwks.timeout`). Safe to cancel.
    pub async fn admit(&self, door: Door, credential: &str) -> Result<Principal, Refusal> {
        self.admit_at(door, None, credential).await
    }

    /// As [`Auth::admit`] for `door`; a credential that is good, but for another door, is looked at for `or` as well.
    /// A refusal is that of the last door, and the only one that is counted and logged.
    pub async fn admit_at(&self, mut door: Door, mut or: Option<Door>, credential: &str) -> Result<Principal, Refusal> {
        let inner = &*self.inner;
        loop {
            let (now, mut seen) = (inner.clock.now(), Seen::default());
            let mut verdict = inner.judge(door, credential, now, &mut seen);
            if let Some(fetched) = inner.ask_for_keys(&verdict, &seen, now) {
                fetched.await;
                seen = Seen::default();
                verdict = inner.judge(door, credential, inner.clock.now(), &mut seen);
            }
            let reason = verdict.as_ref().err().map(Refusal::reason);
            match or.take() {
                Some(other) if matches!(reason, Some(Reason::WrongAudience | Reason::WrongDoor)) => door = other,
                _ => return inner.conclude(door, verdict, &seen),
            }
        }
    }

    /// Who comes to `door` without a credential; `None` if nobody may. Then [`Auth::authenticate`] with an empty
    /// credential gives the refusal.
    pub fn anonymous(&self, door: Door) -> Option<Principal> {
        let principal = self.inner.anonymous_at(door)?;
        crate::metrics::accepted(door, &principal);
        Some(principal)
    }

    /// Whether anybody can be let in at all: there is an issuer, an API key, or anonymous access.
    pub fn accepts_any(&self) -> bool {
        let inner = &*self.inner;
        !inner.issuers.is_empty()
            || !inner.keys.is_empty()
            || inner.anonymous.as_ref().is_some_and(|access| !access.doors.is_empty())
    }

    /// The name of the cookie that may hold a credential, if one may. Who reads it must have checked first that the
    /// request comes from a page of an allowed origin: browsers send cookies whoever asks.
    pub fn cookie_name(&self) -> Option<&str> {
        self.inner.cookie.as_deref()
    }

    /// Tells of revocations from now on.
    pub fn revocations(&self) -> Revocations {
        let inner = &*self.inner;
        Revocations::new(Arc::clone(&inner.keys), Arc::clone(&inner.revocations), inner.generation.subscribe())
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("issuers", &self.inner.by_name.keys()).finish_non_exhaustive()
    }
}

/// The issuers of validated options, by their names. An error is a sentence that names the key of the configuration.
fn issuers(options: &Options, clock: &Arc<dyn Clock>) -> Result<HashMap<Arc<str>, Arc<Issuer>>, String> {
    let mut clients = Clients::default();
    let mut issuers = HashMap::new();
    for (name, issuer) in options.each_issuer()? {
        let name: Arc<str> = Arc::from(&*name);
        let published = match &issuer.jwks {
            None => None,
            Some(jwks) => {
                let set = clients
                    .of(jwks)
                    .and_then(|client| {
                        KeySet::new(Arc::clone(&name), jwks.clone(), client, Arc::clone(clock), options.dev)
                    })
                    .map_err(|problem| format!("auth.issuers.{name}.jwks{problem}"))?;
                Some(Arc::new(set))
            }
        };
        let issuer = Issuer::load(Arc::clone(&name), &issuer, published, options.dev)?;
        issuers.insert(name, Arc::new(issuer));
    }
    Ok(issuers)
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
            resumes: None,
            key: None,
            door: Door::Client,
            grants: grant::expand(&options.grants, None),
        };
        Self { doors: options.doors, principal }
    }
}

impl Inner {
    /// Who shows `credential`, nothing counted or logged yet.
    fn judge(&self, door: Door, credential: &str, now: Timestamp, seen: &mut Seen) -> Result<Principal, Refusal> {
        if credential.is_empty() {
            return Err(Refusal::new(Reason::MissingCredential, "a token or an API key is needed"));
        }
        if credential.starts_with(api_key::PREFIX) {
            seen.issuer = Some(Arc::clone(&self.keys_issuer));
            return self.keys.authenticate(door, credential, now, &self.keys_issuer, &mut seen.key_id);
        }
        if credential.starts_with(tickets::PREFIX) {
            return Err(Refusal::new(Reason::UnknownTicket, "a ticket goes where tickets are taken (`ticket`)"));
        }
        let principal = if credential.starts_with(crate::resume::PREFIX) {
            self.unseal(door, credential, now, seen)?
        } else if door == Door::Server {
            self.verify_token_once(door, credential, now, seen)?
        } else {
            self.verify_token(door, credential, now, seen)?
        };
        self.revocations.check(&principal)?;
        Ok(principal)
    }

    /// Asks for the keys that `verdict` lacks. What is returned ends when they have been fetched; `None` if no keys are
    /// lacking, or none may be fetched now.
    fn ask_for_keys(
        &self,
        verdict: &Result<Principal, Refusal>,
        seen: &Seen,
        now: Timestamp,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let reason = verdict.as_ref().err()?.reason();
        if !matches!(reason, Reason::UnknownKey | Reason::KeysUnavailable) {
            return None;
        }
        self.by_name.get(seen.issuer.as_ref()?)?.published.as_ref()?.ask(now)
    }

    /// Counts and logs what came of a credential.
    fn conclude(&self, door: Door, verdict: Result<Principal, Refusal>, seen: &Seen) -> Result<Principal, Refusal> {
        match verdict {
            Ok(principal) => {
                crate::metrics::accepted(door, &principal);
                Ok(principal)
            }
            Err(refusal) => Err(self.refuse(door, refusal, seen)),
        }
    }

    /// Counts and logs a refusal.
    fn refuse(&self, door: Door, refusal: Refusal, seen: &Seen) -> Refusal {
        seen.log(door, &refusal);
        crate::metrics::refused(door, refusal.reason());
        refusal.with_terse(self.terse)
    }

    fn anonymous_at(&self, door: Door) -> Option<Principal> {
        let access = self.anonymous.as_ref().filter(|access| access.doors.contains(&door))?;
        Some(Principal { door, ..access.principal.clone() })
    }
}

impl Seen {
    /// What is known of a credential that was made a principal.
    fn note(&mut self, principal: &Principal) {
        self.issuer = Some(Arc::clone(&principal.issuer));
        match &principal.credential {
            Credential::Token { id, .. } => self.token_id.clone_from(id),
            Credential::ApiKey { id } => self.key_id = Some(id.clone()),
            Credential::Ticket { .. } | Credential::Anonymous => {}
        }
    }

    /// Writes to the security log. Never the credential; what came from it unverified is escaped.
    fn log(&self, door: Door, refusal: &Refusal) {
        tracing::info!(
            target: "fanfare::security",
            reason = refusal.reason().code(),
            claim = refusal.claim().map(tracing::field::debug),
            door = door.as_str(),
            issuer = self.issuer.as_deref(),
            token_id = self.token_id.as_deref().map(tracing::field::debug),
            key_id = self.key_id.as_deref().map(tracing::field::debug),
            "credential refused"
        );
    }
}
