//! What a resume token holds: all that it takes to make the principal again, and to know whether it may still be made.

use std::sync::Arc;

use fanfare_model::{SessionId, Tenant, Timestamp, Topic, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Grant;
use crate::key::Fingerprint;
use crate::principal::{Credential, Principal};

/// The content. The names are short because the text may travel in a URL.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content {
    /// The session that goes on; none in a ticket.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    /// The only origin that a ticket may be shown from.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// When the window ends.
    #[serde(rename = "w")]
    pub(crate) until: Timestamp,
    #[serde(rename = "t")]
    pub(crate) tenant: Tenant,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    #[serde(rename = "p")]
    pub(crate) proof: Proof,
    /// When the credential ends.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Arc<RawValue>>,
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subscribe: Vec<Topic>,
    /// With the user in place already.
    #[serde(rename = "g")]
    pub(crate) grants: Arc<[Grant]>,
}

/// What the principal proved itself with at first.
#[derive(Serialize, Deserialize)]
pub(crate) enum Proof {
    #[serde(rename = "t")]
    Token {
        #[serde(rename = "n")]
        issuer: Arc<str>,
        #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        issued_at: Option<Timestamp>,
        /// The key that signed it.
        #[serde(rename = "k")]
        key: Fingerprint,
    },
    #[serde(rename = "k")]
    ApiKey {
        #[serde(rename = "j")]
        id: String,
    },
    #[serde(rename = "x")]
    Ticket {
        #[serde(rename = "a")]
        issued_at: Timestamp,
    },
    #[serde(rename = "n")]
    Anonymous,
}

impl Content {
    /// What a token for `principal` holds, in `session` or in none yet; `None` for a token of whose key nothing is known.
    pub(crate) fn of(principal: &Principal, session: Option<&SessionId>, until: Timestamp) -> Option<Self> {
        let proof = match &principal.credential {
            Credential::Token { id, issued_at } => Proof::Token {
                issuer: Arc::clone(&principal.issuer),
                id: id.clone(),
                issued_at: *issued_at,
                key: principal.key?,
            },
            Credential::ApiKey { id } => Proof::ApiKey { id: id.clone() },
            Credential::Ticket { issued_at } => Proof::Ticket { issued_at: *issued_at },
            Credential::Anonymous => Proof::Anonymous,
        };
        Some(Self {
            session: session.cloned(),
            origin: None,
            until,
            tenant: principal.tenant.clone(),
            user: principal.user.clone(),
            proof,
            expires_at: principal.expires_at,
            info: principal.info.clone(),
            subscribe: principal.subscribe.clone(),
            grants: Arc::clone(&principal.grants),
        })
    }
}
