//! What is revoked, on all nodes.
//!
//! Where there is a file of revocations (`auth.revocations_file`), a node by itself keeps them there. Else they are kept in
//! an internal topic of the log, which every node reads from its start and follows: what is revoked on one is in force on
//! the others as soon as an event takes, and after every restart.

mod follow;
mod keep;

use fanfare_auth::{Revocation, RevocationChange};
use fanfare_model::{Data, DataKind, Draft, Event, EventId, EventName, Kind, Tenant, Topic, TopicKey, UserId};

use crate::Node;

/// The event's name, for whoever looks at the engine.
const NAME: &str = "fanfare.revocation";

/// Something was not revoked, or not everywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unrevoked {
    /// It cannot be done, or not be kept.
    #[error(transparent)]
    Auth(#[from] fanfare_auth::Error),
    /// It is in force on this node until its next start, and the other nodes do not know of it.
    #[error("it is in force on this node only, because the log that tells the others is not available now; try again")]
    HereOnly(#[source] fanfare_bus::Error),
    /// Nothing has changed.
    #[error("the log that tells the other nodes is not available now; try again")]
    Untold(#[source] fanfare_bus::Error),
    /// A fault of the server.
    #[error("it could not be done")]
    Failed,
}

impl Unrevoked {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Auth(error) => error.kind(),
            Self::HereOnly(_) | Self::Untold(_) => Kind::Unavailable,
            Self::Failed => Kind::Internal,
        }
    }
}

impl Node {
    /// Takes back tokens, or blocks a user, on all nodes: at once on this one, on the others when the event reaches them.
    /// When it returns it is kept.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), Unrevoked> {
        if self.auth.keeps_revocations() {
            let auth = self.auth.clone();
            return on_disk(move || auth.revoke(revocation).map(drop)).await;
        }
        let revoked = self.auth.revoke(revocation)?;
        self.tell_revocation(&RevocationChange::Revoked(revoked), "").await.map_err(Unrevoked::HereOnly)
    }

    /// Lets a blocked user in again, on all nodes. [`fanfare_auth::Error::NotFound`] if the user is not blocked.
    pub async fn unblock(&self, tenant: &Tenant, user: &UserId) -> Result<(), Unrevoked> {
        let (auth, tenant, user) = (self.auth.clone(), tenant.clone(), user.clone());
        if auth.keeps_revocations() {
            return on_disk(move || auth.unblock(&tenant, &user)).await;
        }
        if !auth.is_blocked(&tenant, &user) {
            return Ok(auth.unblock(&tenant, &user)?);
        }
        let at = self.clock.now();
        let change = RevocationChange::Unblocked { tenant: tenant.clone(), user: user.clone(), at };
        self.tell_revocation(&change, "").await.map_err(Unrevoked::Untold)?;
        match auth.unblock(&tenant, &user) {
            // This node has learnt it from the log meanwhile.
            Err(fanfare_auth::Error::NotFound(_)) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Keeps a change in the log, where all nodes read it. `again` tells a change that is kept anew from the first time.
    async fn tell_revocation(&self, change: &RevocationChange, again: &str) -> Result<(), fanfare_bus::Error> {
        let published = self.bus.publish(&Tenant::default(), vec![(topic().topic, draft(change, again))]).await;
        let answers = published.map_err(|refused| refused.error)?;
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }
}

/// Where the changes are kept.
pub fn topic() -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::internal("revocations"))
}

/// What is published there of a change. `again` tells one that is kept anew from the first time; else it is empty.
pub fn draft(change: &RevocationChange, again: &str) -> Draft {
    let data = Data::from_stored(DataKind::Json, serde_json::to_vec(change).unwrap_or_default().into());
    let id = EventId::new(format!("{}{again}", change.id())).expect("letters and digits");
    let name = EventName::new(NAME).expect("a word of the program");
    Draft { id, name: Some(name), ..Draft::new(data) }
}

/// The change that an event there tells of.
pub fn change(event: &Event) -> serde_json::Result<RevocationChange> {
    serde_json::from_slice(event.draft.data.bytes())
}

/// Does what writes to the disk where nobody waits for it.
async fn on_disk(work: impl FnOnce() -> Result<(), fanfare_auth::Error> + Send + 'static) -> Result<(), Unrevoked> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Unrevoked::Failed),
    }
}
