//! Who a connection or a request is, once it has been authenticated.

use std::fmt;
use std::sync::Arc;

use fanfare_model::{SessionId, Tenant, Timestamp, Topic, UserId};
use serde_json::value::RawValue;

use crate::key::Fingerprint;
use crate::refusal::{Reason, Refusal};
use crate::{Action, Door, Grant};

/// What a principal proved itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A signed token.
    Token {
        /// Its `jti`.
        id: Option<String>,
        /// Its `iat`.
        issued_at: Option<Timestamp>,
    },
    /// An API key.
    ApiKey {
        /// The public part of the key.
        id: String,
    },
    /// A ticket that a backend asked for ([`Auth::ticket_for`](crate::Auth::ticket_for)).
    Ticket {
        /// When it was made.
        issued_at: Timestamp,
    },
    /// Nothing; the configuration lets anybody in.
    Anonymous,
}

impl Credential {
    /// What kind of credential it is, as in metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::ApiKey { .. } => "api_key",
            Self::Ticket { .. } => "ticket",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Who a connection or a request is, and what it may do. Only [`Auth`](crate::Auth) makes one.
///
/// A principal does not end by itself: whoever holds one for longer than a request ends it at
/// `expires_at` and when [`Revocations`](crate::Revocations) says so.
#[derive(Clone)]
pub struct Principal {
    /// Whose topics it sees.
    pub tenant: Tenant,
    /// The user, if the credential names one.
    pub user: Option<UserId>,
    /// The configured name of the issuer; `api-keys`, `tickets` and `anonymous` for those.
    pub issuer: Arc<str>,
    /// What it proved itself with.
    pub credential: Credential,
    /// When it ends, exactly (the leeway for clocks that differ is for entering only).
    pub expires_at: Option<Timestamp>,
    /// The claim `fanfare.info`: a JSON object about the user that others may be shown.
    pub info: Option<Arc<RawValue>>,
    /// The claim `fanfare.subscribe`: topics to subscribe to on the client's behalf.
    pub subscribe: Vec<Topic>,
    /// The session that goes on, if it came in with a resume token.
    pub resumes: Option<SessionId>,
    /// The key that signed its token.
    pub(crate) key: Option<Fingerprint>,
    pub(crate) door: Door,
    pub(crate) grants: Arc<[Grant]>,
}

impl Principal {
    /// Whether it may do `action` with `topic`. For a question whose answer "no" is not a refusal; else
    /// use [`Principal::authorize`], which counts and logs it.
    pub fn may(&self, action: Action, topic: &Topic) -> bool {
        self.grants.iter().any(|grant| grant.allows(action, topic))
    }

    /// Whether it may do `action` with every topic, e.g. `admin` for what concerns the whole tenant.
    pub fn may_any(&self, action: Action) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.allow.contains(&action) && grant.topics.iter().any(crate::Pattern::is_every))
    }

    /// Refuses with [`Reason::PermissionDenied`] unless it may do `action` with `topic`. A refusal is
    /// counted and goes to the security log.
    pub fn authorize(&self, action: Action, topic: &Topic) -> Result<(), Refusal> {
        if self.may(action, topic) {
            return Ok(());
        }
        Err(self.denied(action, topic.as_str()))
    }

    /// As [`Principal::authorize`], for `action` on every topic.
    pub fn authorize_any(&self, action: Action) -> Result<(), Refusal> {
        if self.may_any(action) {
            return Ok(());
        }
        Err(self.denied(action, "*"))
    }

    fn denied(&self, action: Action, topic: &str) -> Refusal {
        let on = if topic == "*" { "every topic".to_owned() } else { format!("the topic `{topic}`") };
        let refusal =
            Refusal::new(Reason::PermissionDenied, format!("this credential does not allow `{action}` on {on}"));
        let (token_id, key_id) = match &self.credential {
            Credential::Token { id, .. } => (id.as_deref(), None),
            Credential::ApiKey { id } => (None, Some(id.as_str())),
            Credential::Ticket { .. } | Credential::Anonymous => (None, None),
        };
        tracing::info!(
            target: "fanfare::security",
            reason = refusal.reason().code(),
            door = self.door.as_str(),
            issuer = &*self.issuer,
            tenant = self.tenant.as_str(),
            user = self.user.as_ref().map(UserId::as_str),
            token_id,
            key_id,
            action = action.as_str(),
            topic,
            "request refused"
        );
        crate::metrics::refused(self.door, refusal.reason());
        refusal
    }

    /// Its grants, with `{user}` replaced by its user.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The door at which it was let in.
    pub fn door(&self) -> Door {
        self.door
    }
}

impl fmt::Debug for Principal {
    /// Leaves out `info`, which holds what users say of themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("tenant", &self.tenant)
            .field("user", &self.user)
            .field("issuer", &self.issuer)
            .field("credential", &self.credential)
            .field("expires_at", &self.expires_at)
            .field("resumes", &self.resumes)
            .field("door", &self.door)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}
