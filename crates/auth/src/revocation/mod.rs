//! Taking back what was given: tokens, all tokens of a user, and users themselves; and how those who hold principals
//! for long learn that one must go.

mod change;
mod file;
mod store;
mod table;

use std::sync::Arc;

use fanfare_model::{Tenant, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use change::RevocationChange;
pub(crate) use file::RevocationsFile;
pub(crate) use store::Store;

use crate::key_store::KeyStore;
use crate::principal::{Credential, Principal};

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Revocation {
    /// One token.
    Token {
        /// Whose it is.
        tenant: Tenant,
        /// Its `jti`.
        id: String,
    },
    /// Every token of a user from before a moment. Tokens that do not say when they were issued (`iat`) are from
    /// before.
    UserTokens {
        /// Whose user.
        tenant: Tenant,
        /// The user.
        user: UserId,
        /// The moment; not in the future.
        issued_before: Timestamp,
    },
    /// A user: every token, those yet to be made as well, until [`Auth::unblock`](crate::Auth::unblock).
    Block {
        /// Whose user.
        tenant: Tenant,
        /// The user.
        user: UserId,
    },
}

impl Revocation {
    /// Whose it is.
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Token { tenant, .. } | Self::UserTokens { tenant, .. } | Self::Block { tenant, .. } => tenant,
        }
    }

    /// What kind it is, as in metrics and the log.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::UserTokens { .. } => "user_tokens",
            Self::Block { .. } => "block",
        }
    }

    /// Its place in a list.
    fn place(&self) -> String {
        match self {
            Self::Token { id, .. } => format!("token:{id}"),
            Self::UserTokens { user, .. } => format!("user_tokens:{user}"),
            Self::Block { user, .. } => format!("block:{user}"),
        }
    }
}

/// A revocation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// What was taken back.
    pub revocation: Revocation,
    /// When.
    pub at: Timestamp,
    /// When it is forgotten, because every token that it can concern has ended by then; a block is kept until it is
    /// taken back.
    pub until: Option<Timestamp>,
}

/// Some revocations of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedPage {
    /// Blocks by user, then tokens by id, then users whose tokens were revoked.
    pub revoked: Vec<Revoked>,
    /// Where the next page begins, if there is one: the `after` of the next call.
    pub next: Option<String>,
}

/// Tells of revocations. Wait for [`Revocations::changed`], then ask [`Revocations::is_revoked`] for each
/// principal that is held.
#[derive(Clone)]
pub struct Revocations {
    keys: Arc<KeyStore>,
    store: Arc<Store>,
    generation: watch::Receiver<u64>,
}

impl Revocations {
    pub(crate) fn new(keys: Arc<KeyStore>, store: Arc<Store>, generation: watch::Receiver<u64>) -> Self {
        Self { keys, store, generation }
    }

    /// A number that grows whenever something may have been revoked.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Waits until something may have been revoked since the last call, or since this was made. Nothing is
    /// missed in between; several changes may be told as one. Safe to cancel.
    pub async fn changed(&mut self) {
        // `Auth` has the sender; if the last of it is gone, nothing is revoked any more.
        if self.generation.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether what `principal` was let in with has been revoked, or its user blocked. Expiry is not asked here:
    /// [`Principal::expires_at`] says it beforehand.
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        match &principal.credential {
            Credential::ApiKey { id } => self.keys.is_revoked(id),
            _ => self.store.check(principal).is_err(),
        }
    }
}
