//! The seam: [`Presence`] and the values that cross it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_bus::{Per, PresencePolicy};
use fanfare_cluster::Fence;
use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use crate::change::Change;
use crate::error::Error;
use crate::member::{Member, Members, Occupancy};

/// Who holds memberships: one life of a node. Members are as alive as their holder is, which says so now and then.
/// A node that starts again is another holder. At most 64 characters of `[A-Za-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(pub Arc<str>);

/// A request to become a member.
#[derive(Debug, Clone)]
pub struct Enter {
    /// Where.
    pub topic: TopicKey,
    /// How presence works there.
    pub policy: Arc<PresencePolicy>,
    /// On which node the session is.
    pub holder: Holder,
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub user: Option<UserId>,
    /// What the token says of the user.
    pub info: Option<Arc<RawValue>>,
    /// What the member says of itself.
    pub data: Option<Box<RawValue>>,
    /// The time now.
    pub now: Timestamp,
    /// What must not be exceeded.
    pub limits: Limits,
}

impl Enter {
    /// What the member is called: its session, or its user where users are members.
    pub fn member_id(&self) -> Result<&str, Error> {
        match (self.policy.per, &self.user) {
            (Per::Connection, _) => Ok(self.session.as_str()),
            (Per::User, Some(user)) => Ok(user.as_str()),
            (Per::User, None) => Err(Error::NeedsUser { kind: self.topic.topic.kind().to_owned() }),
        }
    }

    /// The member `id` that comes of it: a new one, or what becomes of `known`. `is_new`: the session was not there
    /// before. A further session of a user that says nothing takes nothing back.
    pub fn member(&self, id: &str, known: Option<&Member>, is_new: bool) -> Member {
        let Some(known) = known else {
            let (user, info, data) = (self.user.clone(), self.info.clone(), self.data.clone());
            return Member { id: id.to_owned(), user, info, data, since: self.now };
        };
        let data = if is_new { self.data.clone().or_else(|| known.data.clone()) } else { self.data.clone() };
        let info = self.info.clone().or_else(|| known.info.clone());
        Member { info, data, ..known.clone() }
    }
}

/// What entering must not exceed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In how many topics a session may be.
    pub topics_per_session_max: usize,
    /// How many memberships there may be in all; an engine whose shards lie apart counts them in each.
    pub members_max: usize,
    /// How many changes of a shard may wait in its feed: beyond it entering is refused, leaving is not.
    pub waiting_max: usize,
    /// How long a holder is taken to be alive that has not said so yet.
    pub lease: Duration,
}

/// What an enter, update or leave came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The revision of the topic afterwards.
    pub rev: u64,
    /// Whether anything is otherwise than before, so that the revision is a new one.
    pub changed: bool,
    /// Where the change is in the feed of the topic's shard; 0 if there is none.
    pub position: u64,
}

/// Who is in which topic.
///
/// **Members** are sessions, or users ([`Per`]); a user's sessions are one member, which joins with the first and leaves
/// with the last, and has the data that were given last. A session stays the member that it is.
/// **Revisions** of a topic grow by one with each change, and never go back, also when everybody has left and been
/// forgotten (it may go on anywhere above). A snapshot is exactly the state at its revision. Where an engine loses its
/// state, or the end of it, [`Change::life`] is another one, whose revisions should begin above the earlier ones (take them
/// from a clock: who watches ignores lower ones), and [`heartbeat`](Presence::heartbeat) says so.
/// **Shards.** A topic belongs to one shard, always the same. Each shard has a feed.
/// **Feeds.** A change is in the feed of its topic's shard in the same atomic step in which it is made, once; of one
/// topic in the order of the revisions. Positions are above 0 and grow, with holes or not; they never go back, not even
/// when the state was lost (an engine that may lose its end takes them from a clock). What was [fed](Presence::fed) may
/// be forgotten.
/// **Liveness.** A member is there as long as one of its sessions is held by a holder whose lease has not ended.
/// **Failures.** After [`Error::Unavailable`] it may or may not have happened; every call may be made again. An answer
/// comes within the engine's time-out. **Cancellation.** Dropping a future does not undo what it did.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Whether what is here outlives the process of a node: then other nodes see it as well, and go on with the feeds
    /// of one that has died. If not, this node is the only one, and everything is forgotten with its process.
    fn outlives_node(&self) -> bool;

    /// How many shards there are: at least 1, always the same.
    fn shards(&self) -> u16;

    /// The shard of a topic.
    fn shard_of(&self, topic: &TopicKey) -> u16 {
        shard_of(topic, self.shards())
    }

    /// Makes a session a member, or replaces what it says of itself. A session that another holder holds is this
    /// holder's from now on. [`Error::TooManyTopics`] and [`Error::Full`] as the limits say, for sessions that are not
    /// there yet.
    async fn enter(&self, enter: Enter) -> Result<Done, Error>;

    /// Replaces what a member says of itself by what `change` makes of it, as one step: `change` is called again if
    /// it was changed meanwhile. [`Error::NotMember`] if the session is none.
    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error>;

    /// Takes a session out of a topic, if `holder` holds it there. Nothing happens if not.
    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error>;

    /// The members whose ids sort after `after` (byte by byte), up to `limit` and about `bytes_max`, but at least one.
    /// A limit of 0 tells only their number.
    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error>;

    /// How many are in each of `topics`, in their order.
    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error>;

    /// The topics that a user is in, sorted.
    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error>;

    /// The topics that a session is in and `holder` holds it in, sorted.
    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error>;

    /// A session has come to `holder`: the topics that it is in, whoever held it there, sorted, with the member that it
    /// is, and `holder` holds it there from now on.
    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error>;

    /// Takes all sessions of a user out of every topic, whoever holds them. Says out of how many topics. Again has no
    /// effect.
    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error>;

    /// `holder` is alive, and will be taken to be for `lease`. Says whether it has been all the time since the last sign
    /// of life: if not, its members may have been taken out, or the engine may have lost them, and it should begin
    /// another life as another holder and have them enter again. `false` for a holder that is not known.
    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error>;

    /// Takes out the members of holders whose lease has ended, except for `holder`, who asks; says how many sessions.
    /// Each is taken out once, whoever reaps.
    async fn reap(&self, holder: &Holder) -> Result<usize, Error>;

    /// The changes of a shard after the position `after`, at most `limit` of the first ones, with their positions in
    /// order: what was answered before the call is among them. If there are none it waits for some, but no longer than
    /// `wait`, and may return nothing also earlier.
    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error>;

    /// Everything up to the position `upto` has been dealt with by the owner of the shard, who holds it by `fence`. It
    /// never goes back. Says whether it was taken: it is not after a call with a greater fence, which means that the
    /// shard has another owner.
    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error>;

    /// Up to where the changes of a shard have been dealt with; 0 if none have.
    async fn fed_position(&self, shard: u16) -> Result<u64, Error>;
}

/// A topic that a session is in, and the member that it is there.
pub type Adopted = (Topic, Arc<Member>);

/// Makes of what a member says of itself what it says from now on, or an error, which changes nothing.
pub type Edit<'a> = &'a (dyn Fn(Option<&RawValue>) -> Result<Option<Box<RawValue>>, Error> + Send + Sync);

/// The shard of a topic where there are so many: the same on every machine.
fn shard_of(topic: &TopicKey, shards: u16) -> u16 {
    let mut hash = Xxh3::new();
    hash.update(topic.tenant.as_str().as_bytes());
    hash.update(b"\0");
    hash.update(topic.topic.as_str().as_bytes());
    u16::try_from(hash.digest() % u64::from(shards.max(1))).expect("it is below a u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_in_the_same_shard_everywhere() {
        let key = |topic: &str| TopicKey::new(Tenant::default(), Topic::new(topic).unwrap());
        let shards: Vec<u16> = (0..8).map(|n| shard_of(&key(&format!("chat:{n}")), 16)).collect();
        assert_eq!(shards, [4, 9, 6, 12, 13, 9, 12, 4]);
        assert_eq!(shard_of(&key("chat:1"), 1), 0);
    }
}
