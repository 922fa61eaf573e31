//! What the rest of Fanfare holds.

use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Bus, PresencePolicy};
use fanfare_cluster::{Handle as Cluster, Ownership};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, SessionId, Tenant, Topic, TopicKey, UserId};
use parking_lot::{Mutex, RwLock};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::diary::{Desk, Diary};
use crate::engine::{Done, Enter, Holder, Limits, Presence};
use crate::error::Error;
use crate::member::{Members, Occupancy, Who};
use crate::metrics::{self, Handles};
use crate::options::Options;
use crate::patch;
use crate::pending::Pending;
use crate::progress::Progress;
use crate::roster::{Entered, Roster};
use crate::turns::Turns;

/// The space of the cluster whose shards are those of presence.
const SPACE: &str = "presence";
/// What nodes tell each other when a user was taken out of everything.
const REMOVED: &str = "presence.removed";
/// How often somebody who waits for another node to log something asks how far that is.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// Enter, update, leave, ask. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones share.
pub(crate) struct Inner {
    pub(crate) engine: Arc<dyn Presence>,
    /// What the engine says of itself.
    pub(crate) outlives_node: bool,
    pub(crate) bus: Bus,
    /// The nodes that share the engine.
    cluster: Cluster,
    /// The shards whose changes this node tells of.
    pub(crate) ownership: Ownership,
    clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    /// This life of this node.
    holder: RwLock<Holder>,
    pub(crate) progress: Progress,
    pub(crate) pending: Pending,
    pub(crate) roster: Roster,
    pub(crate) diary: Diary,
    /// Taken while a session that broke off is taken out, so that one that comes back knows what it still is in, and
    /// where all members may have to enter again, by whatever else is done with a session.
    pub(crate) turns: Turns,
    /// Rung when there is something to announce earlier than was known.
    pub(crate) to_announce: Notify,
    /// Rung when there is an absence to look at earlier than was known.
    pub(crate) to_tend: Notify,
    /// Rung when all members are to enter again.
    pub(crate) to_bring_back: Notify,
    pub(crate) metrics: Handles,
}

impl Inner {
    /// As whom this node holds members.
    pub(crate) fn holder(&self) -> Holder {
        self.holder.read().clone()
    }

    /// From now on this node is another holder: the next life of the same name.
    pub(crate) fn another_life(&self) -> Holder {
        let mut holder = self.holder.write();
        let (name, life) = holder.0.split_once('-').unwrap_or((&holder.0, "1"));
        let next = format!("{name}-{}", life.parse().unwrap_or(1_u64) + 1);
        *holder = Holder(Arc::from(next));
        holder.clone()
    }

    fn policy(&self, topic: &Topic) -> Result<Arc<PresencePolicy>, Error> {
        let policy = self.bus.policy(topic).presence.as_ref();
        policy.map(Arc::clone).ok_or_else(|| Error::Disabled { kind: topic.kind().to_owned() })
    }

    /// Has the session enter `topic` as this.
    pub(crate) async fn enter(&self, topic: TopicKey, session: &SessionId, entered: Entered) -> Result<Done, Error> {
        let entry = self.entry(topic, session, entered)?;
        let mut again = self.outlives_node.then(|| entry.clone());
        let done = self.engine.enter(entry).await?;
        // The node may have begun another life meanwhile.
        while let Some(entry) = again.take_if(|entry| entry.holder != self.holder()) {
            let entry = Enter { holder: self.holder(), ..entry };
            again = Some(entry.clone());
            self.engine.enter(entry).await?;
        }
        Ok(done)
    }

    /// The request to do so.
    fn entry(&self, topic: TopicKey, session: &SessionId, entered: Entered) -> Result<Enter, Error> {
        let Options { topics_per_session_max, members_max, feed_waiting_max, lease, .. } = &self.options;
        Ok(Enter {
            policy: self.policy(&topic.topic)?,
            topic,
            holder: self.holder(),
            session: session.clone(),
            user: entered.user,
            info: entered.info,
            data: entered.data,
            now: self.clock.now(),
            limits: Limits {
                topics_per_session_max: *topics_per_session_max,
                members_max: *members_max,
                waiting_max: *feed_waiting_max,
                lease: lease.get(),
            },
        })
    }

    /// Waits until a change is logged, by whoever owns its shard, but not for ever; says whether it is. Does not wait if
    /// nobody writes.
    async fn is_logged(&self, topic: &TopicKey, done: Done) -> Result<bool, Error> {
        if !self.diary.runs() {
            return Ok(true);
        }
        let (shard, until) = (self.engine.shard_of(topic), Instant::now() + self.options.log_patience.get());
        let mut steps = self.progress.steps();
        while self.progress.logged_upto(shard) < done.position {
            let next = Instant::now() + ASK_EVERY;
            if next > until {
                return Ok(false);
            }
            if !self.ownership.shards().contains_key(&shard) && self.engine.fed_position(shard).await? >= done.position
            {
                return Ok(true);
            }
            // It never ends with an error: the sender is in here.
            drop(tokio::time::timeout_at(next, steps.changed()).await);
        }
        Ok(true)
    }
}

impl Handle {
    /// Joins an engine, the bus on which changes are announced, and the nodes of the cluster that share both. On every
    /// node the engine is the same one, unless the node is the only one.
    pub fn new(
        engine: Arc<dyn Presence>,
        bus: Bus,
        cluster: &Cluster,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Self {
        let (shards, outlives_node) = (engine.shards(), engine.outlives_node());
        let inner = Arc::new(Inner {
            cluster: cluster.clone(),
            ownership: cluster.ownership(SPACE, shards),
            holder: RwLock::new(Holder(Arc::from(cluster.id().as_str()))),
            engine,
            outlives_node,
            bus,
            progress: Progress::new(shards),
            pending: Pending::new(options.page_bytes_max.as_usize()),
            roster: Roster::new(metrics::members()),
            diary: Diary::new(Arc::clone(&clock), outlives_node),
            clock,
            options,
            turns: Turns::new(),
            to_announce: Notify::new(),
            to_tend: Notify::new(),
            to_bring_back: Notify::new(),
            metrics: Handles::new(),
        });
        let told = Arc::downgrade(&inner);
        cluster.on(REMOVED, move |(tenant, user): (Tenant, UserId)| {
            if let Some(inner) = told.upgrade() {
                inner.roster.has_left_all(&tenant, &user);
            }
            std::future::ready(())
        });
        Self { inner }
    }

    /// Starts what presence does by itself: announce, take out who stays away, say that the node is alive, log. Call it
    /// once per node. Opens the journal at [`Options::path`] if the engine needs one; if that cannot be done, the node
    /// stops.
    pub fn start(&self, life: &Lifecycle) {
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "read presence", async move { inner.read_feeds(&stop).await });
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "announce presence", async move { inner.announce(&stop).await });
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "tend presence", async move { inner.tend(&stop).await });
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "keep presence alive", async move { inner.stay_alive(&stop).await });
        if self.inner.outlives_node {
            let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
            life.spawn(TaskKind::Critical, "bring members back", async move { inner.bring_back(&stop).await });
        }
        self.inner.diary.will_run();
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "log presence", async move {
            let Inner { bus, ownership, progress, diary, options, .. } = &*inner;
            diary.run(Desk { bus, ownership, progress }, options.path.clone(), &stop).await;
        });
    }

    /// Makes the session a member, or replaces what it says of itself by `data`; returns the revision of the topic. Where
    /// joins are logged it returns when that has been done.
    pub async fn enter(&self, topic: &TopicKey, who: &Who, data: Option<Box<RawValue>>) -> Result<u64, Error> {
        let Inner { options, diary, roster, .. } = &*self.inner;
        let policy = self.inner.policy(&topic.topic)?;
        let data = match data {
            Some(data) => {
                check_size(&policy, &topic.topic, &data)?;
                patch::tidy(&data)?
            }
            None => None,
        };
        let info = match who.info.as_deref() {
            Some(info) => patch::tidy(info)?.map(Arc::from),
            None => None,
        };
        let is_logged = !policy.log.is_empty();
        if is_logged && diary.waiting() >= options.log_waiting_max {
            return Err(Error::Full);
        }
        let entered = Entered { user: who.user.clone(), info, data };
        let turn = self.turn(&who.session).await;
        roster.is_here(&topic.tenant, &who.session);
        let again = self.inner.outlives_node.then(|| entered.clone());
        let done = self.inner.enter(topic.clone(), &who.session, entered).await?;
        if let Some(entered) = again {
            roster.has_entered(&(topic.tenant.clone(), who.session.clone()), &topic.topic, entered);
        }
        drop(turn);
        if is_logged && done.changed && !self.inner.is_logged(topic, done).await? {
            return Err(Error::Unavailable("the join is not logged yet".into()));
        }
        Ok(done.rev)
    }

    /// The turn of a session, where it is needed.
    async fn turn(&self, session: &SessionId) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.inner.outlives_node { Some(self.inner.turns.of(session).await) } else { None }
    }

    /// Changes what the member says of itself by a merge patch (RFC 7396); returns the revision of the topic.
    pub async fn update(&self, topic: &TopicKey, who: &Who, patch: &RawValue) -> Result<u64, Error> {
        let Inner { engine, outlives_node, roster, .. } = &*self.inner;
        let policy = self.inner.policy(&topic.topic)?;
        check_size(&policy, &topic.topic, patch)?;
        let patch = patch::tidy(patch)?;
        // What it came to the last time.
        let said = Mutex::new(None);
        let edit = |data: Option<&RawValue>| {
            let merged = match &patch {
                Some(patch) => {
                    let merged = patch::merge(data, patch)?;
                    check_size(&policy, &topic.topic, &merged)?;
                    Some(merged)
                }
                None => None,
            };
            if *outlives_node {
                said.lock().clone_from(&merged);
            }
            Ok(merged)
        };
        let _turn = self.turn(&who.session).await;
        let done = engine.update(topic, &who.session, &edit).await?;
        if *outlives_node {
            roster.says(&(topic.tenant.clone(), who.session.clone()), &topic.topic, said.into_inner());
        }
        Ok(done.rev)
    }

    /// Takes the session out of the topic; returns the revision of the topic. Nothing happens if it is not a member.
    pub async fn leave(&self, topic: &TopicKey, session: &SessionId) -> Result<u64, Error> {
        let Inner { engine, outlives_node, roster, .. } = &*self.inner;
        let _turn = self.turn(session).await;
        let done = engine.leave(topic, session, &self.inner.holder()).await?;
        if *outlives_node {
            roster.has_left(&(topic.tenant.clone(), session.clone()), &topic.topic);
        }
        Ok(done.rev)
    }

    /// A page of the members, in the order of their ids, after the one with the id `after`: at most `limit`, and not
    /// more than the options allow. A limit of 0 tells only their number.
    pub async fn members(&self, topic: &TopicKey, after: Option<&str>, limit: usize) -> Result<Members, Error> {
        self.inner.policy(&topic.topic)?;
        let Options { page_members_max, page_bytes_max, .. } = &self.inner.options;
        let limit = limit.min(*page_members_max);
        self.inner.engine.members(topic, after, limit, page_bytes_max.as_usize()).await
    }

    /// How many are in each of `topics`, in their order.
    pub async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        for topic in topics {
            self.inner.policy(&topic.topic)?;
        }
        self.inner.engine.occupancy(topics).await
    }

    /// The topics that a user is in, sorted.
    pub async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        self.inner.engine.topics_of(tenant, user).await
    }

    /// Takes all sessions of a user out of every topic; says out of how many topics. They may enter again.
    pub async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let removed = self.inner.engine.remove_user(tenant, user).await?;
        self.inner.roster.has_left_all(tenant, user);
        if self.inner.outlives_node {
            // So that they do not enter again for it if they are taken for dead.
            self.inner.cluster.tell_others(REMOVED, &(tenant, user)).await;
        }
        Ok(removed)
    }

    /// The session's connection broke: its grace time begins, and when it ends the session leaves. Costs next to nothing
    /// if it has entered nothing. Not to be called by a connection whose session another one has taken over.
    pub fn disconnected(&self, tenant: &Tenant, session: &SessionId) {
        if self.inner.roster.is_away(tenant, session, false).is_some() {
            self.inner.to_tend.notify_one();
        }
    }

    /// The session is back, on this node or from another: it was never gone. Says where it still is a member.
    pub async fn resumed(&self, tenant: &Tenant, session: &SessionId) -> Vec<Topic> {
        let Inner { engine, outlives_node, roster, turns, metrics, .. } = &*self.inner;
        if !outlives_node && !roster.knows(tenant, session) {
            return Vec::new();
        }
        let in_the_meantime_it_is_not_taken_out = turns.of(session).await;
        if roster.is_back(tenant, session) {
            metrics.resumed.increment(1);
        }
        let topics = if *outlives_node {
            self.adopt(tenant, session).await
        } else {
            engine.topics_in(tenant, session, &self.inner.holder()).await
        };
        drop(in_the_meantime_it_is_not_taken_out);
        topics.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "it is not known where a session is a member");
            Vec::new()
        })
    }

    /// What the session has entered on another node is held by this one from now on.
    async fn adopt(&self, tenant: &Tenant, session: &SessionId) -> Result<Vec<Topic>, Error> {
        let Inner { engine, roster, .. } = &*self.inner;
        let adopted = engine.adopt(tenant, session, &self.inner.holder()).await?;
        if !adopted.is_empty() {
            roster.is_here(tenant, session);
        }
        let name = (tenant.clone(), session.clone());
        let topics = adopted.into_iter().map(|(topic, member)| {
            let (user, info, data) = (member.user.clone(), member.info.clone(), member.data.clone());
            roster.has_entered(&name, &topic, Entered { user, info, data });
            topic
        });
        Ok(topics.collect())
    }

    /// The session has ended on purpose: it leaves every topic at once. If the future is dropped, it does so a moment
    /// later.
    pub async fn gone(&self, tenant: &Tenant, session: &SessionId) {
        if let Some(away) = self.inner.roster.is_away(tenant, session, true) {
            self.inner.to_tend.notify_one();
            self.inner.take_out((tenant.clone(), session.clone()), away).await;
        }
    }
}

fn check_size(policy: &PresencePolicy, topic: &Topic, data: &RawValue) -> Result<(), Error> {
    let (size, size_max) = (data.get().len(), policy.data_bytes_max.as_usize());
    if size > size_max {
        return Err(Error::DataTooLarge { size, size_max, kind: topic.kind().to_owned() });
    }
    Ok(())
}
