//! The seam: [`Presence`] and the values that cross it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fanfare_bus::PresencePolicy;
use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::member::{Member, Members, Occupancy};

/// Who holds memberships: one life of a node. Members are as alive as their holder is, which says so now and then.
/// A node that starts again is another holder.
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

/// What entering must not exceed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In how many topics a session may be.
    pub topics_per_session_max: usize,
    /// How many memberships there may be in all.
    pub members_max: usize,
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
}

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was not there before.
    Joined(Arc<Member>),
    /// It is as this now.
    Updated(Arc<Member>),
    /// It is not there any more; this is how it was.
    Left(Arc<Member>),
}

/// How much of the state is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// The members.
    Members,
    /// Only how many there are.
    Occupancy,
    /// The members again from now on: these.
    MembersAgain(Vec<Arc<Member>>),
}

/// A topic has changed by one revision.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which topic.
    pub topic: TopicKey,
    /// How presence works there.
    pub policy: Arc<PresencePolicy>,
    /// On whose account: the node of the session, or the one that found that node dead.
    pub holder: Holder,
    /// The revision afterwards.
    pub rev: u64,
    /// The revision before; 0 if nobody was there.
    pub prev: u64,
    /// How many members there are afterwards.
    pub count: u64,
    /// What happened.
    pub what: What,
    /// How much is told of it.
    pub telling: Telling,
}

/// Who hears of changes: every node.
pub trait Hear: Send + Sync {
    /// Of one topic changes come in the order of their revisions, each once. Must be quick and must not call the
    /// engine.
    fn changed(&self, change: &Change);
}

/// Who is in which topic.
///
/// **Members** are sessions, or users ([`fanfare_bus::Per`]); a user's sessions are one member, which joins with the
/// first and leaves with the last, and has the data that were given last.
/// **Revisions** of a topic grow by one with each change, and never go back, also when everybody has left and been
/// forgotten. A snapshot is exactly the state at its revision.
/// **Order.** Changes of one topic are atomic and heard in the order of their revisions, each once; a change is heard
/// before its caller is answered.
/// **Liveness.** A member is there as long as one of its sessions is held by a holder whose lease has not ended.
/// **Cancellation.** Dropping a future does not undo what it did.
pub trait Presence: Send + Sync + 'static {
    /// Says who is to hear of changes. Called once, before anything else.
    fn connect(&self, hear: Weak<dyn Hear>);

    /// Makes a session a member, or replaces what it says of itself. A session that another holder holds is this
    /// holder's from now on.
    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, Error>>;

    /// Replaces what a member says of itself by what `change` makes of it. [`Error::NotMember`] if the session is none.
    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, Error>>;

    /// Takes a session out of a topic, if `holder` holds it there. Nothing happens if not.
    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, Error>>;

    /// The members whose ids sort after `after`, up to `limit` and about `bytes_max`, but at least one.
    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, Error>>;

    /// How many are in each of `topics`, in their order.
    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, Error>>;

    /// The topics that a user is in, sorted.
    fn topics_of<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<Vec<Topic>, Error>>;

    /// The topics that a session is in and `holder` holds it in, sorted.
    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, Error>>;

    /// Takes all sessions of a user out of every topic, whoever holds them, on `holder`'s account. Says out of how many
    /// topics. Again has no effect.
    fn remove_user<'a>(
        &'a self,
        tenant: &'a Tenant,
        user: &'a UserId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<usize, Error>>;

    /// `holder` is alive, and will be taken to be for `lease`.
    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<(), Error>>;

    /// Takes out the members of holders whose lease has ended, on `holder`'s account; says how many sessions. Each is
    /// taken out once, whoever reaps.
    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, Error>>;
}

/// Makes of what a member says of itself what it says from now on, or an error, which changes nothing.
pub type Edit<'a> = &'a (dyn Fn(Option<&RawValue>) -> Result<Option<Box<RawValue>>, Error> + Send + Sync);
