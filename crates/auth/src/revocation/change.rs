//! What nodes tell each other of revocations.

use std::fmt::Write as _;

use fanfare_model::{Tenant, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Revoked;

/// A change of what is revoked, as it stands in the log that all nodes read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationChange {
    /// Something was revoked, or somebody blocked.
    Revoked(Revoked),
    /// A block was taken back.
    Unblocked {
        /// Whose user.
        tenant: Tenant,
        /// The user.
        user: UserId,
        /// When.
        at: Timestamp,
    },
}

impl RevocationChange {
    /// The same for the same change, whichever node tells it.
    pub fn id(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut id = String::with_capacity(32);
        for byte in &Sha256::digest(&json)[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        id
    }
}
