//! API keys and revocations, managed.

use fanfare_model::{Tenant, UserId};

use super::Auth;
use crate::{CreatedKey, Error, KeyInfo, KeyRequest, Revocation, RevocationChange, Revoked, RevokedPage};

impl Auth {
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

    /// Takes back tokens, or blocks a user: who shows them from now on is refused, resume tokens and tickets made
    /// from them as well, and [`Auth::revocations`] tells those who hold such principals. Kept in
    /// `auth.revocations_file` if there is one; if it cannot be written, the revocation holds until the next start and
    /// the error says so. Writes to disk, if there is such a file: not for a runtime's worker then.
    pub fn revoke(&self, revocation: Revocation) -> Result<Revoked, Error> {
        let (kind, tenant) = (revocation.kind(), revocation.tenant().clone());
        let (token_id, user, issued_before) = match &revocation {
            Revocation::Token { id, .. } => (Some(id.clone()), None, None),
            Revocation::UserTokens { user, issued_before, .. } => (None, Some(user.clone()), Some(*issued_before)),
            Revocation::Block { user, .. } => (None, Some(user.clone()), None),
        };
        let done = self.inner.revocations.revoke(revocation, self.inner.clock.now());
        let is_kept = done.is_ok();
        // What could not be written is in force all the same.
        if matches!(done, Ok(_) | Err(Error::File { .. } | Error::RevocationsFile { .. })) {
            crate::metrics::revoked(kind);
            tracing::info!(
                target: "fanfare::security",
                kind,
                tenant = tenant.as_str(),
                user = user.as_ref().map(UserId::as_str),
                token_id = token_id.map(tracing::field::debug),
                issued_before = issued_before.map(tracing::field::display),
                is_kept,
                "revoked"
            );
        }
        done
    }

    /// Takes back a [`Revocation::Block`]; [`Error::NotFound`] if the user is not blocked. What was revoked of the
    /// user's tokens stays so. Writes to disk: not for a runtime's worker.
    pub fn unblock(&self, tenant: &Tenant, user: &UserId) -> Result<(), Error> {
        self.inner.revocations.unblock(tenant, user, self.inner.clock.now())?;
        tracing::info!(target: "fanfare::security", tenant = tenant.as_str(), user = user.as_str(), "user unblocked");
        Ok(())
    }

    /// Whether revocations are kept in a file (`auth.revocations_file`). If not, it is for the caller of [`Auth::revoke`] to
    /// keep them, and to have them learnt again.
    pub fn keeps_revocations(&self) -> bool {
        self.inner.revocations.has_file()
    }

    /// Takes over a change that this or another node has kept. Changes are to be learnt in the order in which they were
    /// kept; again has no effect.
    pub fn learn(&self, change: &RevocationChange) {
        self.inner.revocations.learn(change, self.inner.clock.now());
    }

    /// Keeps in `auth.revocations_file`, if there is one, what was kept elsewhere ([`Auth::all_revoked`] there). Writes to
    /// disk: not for a runtime's worker.
    pub fn take_over(&self, revoked: &[Revoked]) -> Result<(), Error> {
        self.inner.revocations.take_over(revoked, self.inner.clock.now())
    }

    /// Everything that is revoked and in force, of all tenants.
    pub fn all_revoked(&self) -> Vec<Revoked> {
        self.inner.revocations.all(self.inner.clock.now())
    }

    /// Whether a user is blocked.
    pub fn is_blocked(&self, tenant: &Tenant, user: &UserId) -> bool {
        self.inner.revocations.is_blocked(tenant, user)
    }

    /// The revocations of `tenant` that are in force, up to `limit` of them after the place `after`, which is the
    /// [`RevokedPage::next`] of the page before.
    pub fn list_revocations(&self, tenant: &Tenant, after: Option<&str>, limit: usize) -> RevokedPage {
        self.inner.revocations.page(tenant, after, limit)
    }

    /// Reads the files of API keys and of revocations again if another process has changed them; whether one had.
    /// Call it every second or so. If it fails, what was known stays. Asks the disk: not for a runtime's worker.
    pub fn reload_keys(&self) -> Result<bool, Error> {
        let keys = self.inner.keys.reload();
        let revocations = self.inner.revocations.reload(self.inner.clock.now());
        Ok(keys? | revocations?)
    }
}
