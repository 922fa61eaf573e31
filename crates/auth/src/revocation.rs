//! How those who hold principals for long learn that one must go.

use std::sync::Arc;

use tokio::sync::watch;

use crate::key_store::KeyStore;
use crate::principal::{Credential, Principal};

/// Tells of revocations. Wait for [`Revocations::changed`], then ask [`Revocations::is_revoked`] for each
/// principal that is held.
#[derive(Clone)]
pub struct Revocations {
    keys: Arc<KeyStore>,
    generation: watch::Receiver<u64>,
}

impl Revocations {
    pub(crate) fn new(keys: Arc<KeyStore>) -> Self {
        let generation = keys.generation();
        Self { keys, generation }
    }

    /// A number that grows whenever something may have been revoked.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Waits until something may have been revoked since the last call, or since this was made. Nothing is
    /// missed in between; several changes may be told as one. Safe to cancel.
    pub async fn changed(&mut self) {
        // The sender lives in `keys`, so it cannot be gone.
        if self.generation.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether what `principal` was let in with has been revoked. Expiry is not asked here:
    /// [`Principal::expires_at`] says it beforehand.
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        match &principal.credential {
            Credential::ApiKey { id } => self.keys.is_revoked(id),
            Credential::Token { .. } | Credential::Anonymous => false,
        }
    }
}
