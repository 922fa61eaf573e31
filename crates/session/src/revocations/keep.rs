//! Keeping revocations for longer than the log keeps events: what is in force is put there again before it is trimmed.

use std::time::Duration;

use fanfare_auth::RevocationChange;

use crate::Node;

/// How often is looked whether it is time.
const EVERY: Duration = Duration::from_secs(3600);
/// How old an entry is at most before it is kept anew: far less than events of the topic are kept (30 days), so that it is
/// there at least twice.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The lease that says who does it, which nobody gives back.
const LEASE: &str = "once/revocations";

impl Node {
    /// Never returns.
    pub(super) async fn keep_revocations(&self) {
        loop {
            self.keep_revocations_anew().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Puts what is revoked into the log again, if no node has within a week. Done every hour without being asked.
    pub async fn keep_revocations_anew(&self) {
        let leases = self.cluster.leases();
        match leases.acquire(LEASE, self.cluster.id().as_str(), AGE_MAX).await {
            Ok(Some(fence)) => {
                let week = self.clock.now().as_seconds() / 604_800;
                let told = self.tell_all_revoked(&format!("-{week}")).await;
                // Somebody else may have more luck.
                if !told && let Err(error) = leases.release(LEASE, fence).await {
                    tracing::warn!(error = %error, "revocations are kept anew a week later");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %error, "it is not known whether revocations are to be kept anew"),
        }
    }

    /// Keeps in the log what is in force here; whether all of it was kept.
    pub(super) async fn tell_all_revoked(&self, again: &str) -> bool {
        let mut all = true;
        for revoked in self.auth.all_revoked() {
            if let Err(error) = self.tell_revocation(&RevocationChange::Revoked(revoked), again).await {
                tracing::warn!(error = %error, "a revocation could not be kept anew");
                all = false;
            }
        }
        all
    }
}
