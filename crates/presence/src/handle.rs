//! What the rest of Fanfare holds.

use std::sync::Arc;

use fanfare_bus::{Bus, PresencePolicy};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, SessionId, Tenant, Topic, TopicKey, UserId};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, Notify};

use crate::diary::Diary;
use crate::engine::{Change, Enter, Hear, Holder, Limits, Presence, What};
use crate::error::Error;
use crate::member::{Members, Occupancy, Who};
use crate::metrics::Handles;
use crate::options::Options;
use crate::patch;
use crate::pending::Pending;
use crate::roster::Roster;

/// Enter, update, leave, ask. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones share.
pub(crate) struct Inner {
    pub(crate) engine: Arc<dyn Presence>,
    pub(crate) bus: Bus,
    clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    /// This life of this node.
    pub(crate) holder: Holder,
    pub(crate) pending: Pending,
    pub(crate) roster: Roster,
    pub(crate) diary: Diary,
    /// Rung when there is something to do earlier than was known.
    pub(crate) news: Notify,
    /// Held while a session that broke off is taken out, so that one that comes back knows what it still is in.
    pub(crate) taking_out: Mutex<()>,
    pub(crate) metrics: Handles,
}

impl Hear for Inner {
    fn changed(&self, change: &Change) {
        match change.what {
            What::Joined(_) => {
                self.metrics.joins.increment(1);
                self.metrics.members.increment(1);
            }
            What::Updated(_) => self.metrics.updates.increment(1),
            What::Left(_) => {
                self.metrics.leaves.increment(1);
                self.metrics.members.decrement(1);
            }
        }
        // Whoever else caused it logs it.
        if change.holder == self.holder {
            self.diary.note(change);
        }
        if self.pending.add(change) {
            self.news.notify_one();
        }
    }
}

impl Handle {
    /// Joins an engine, which must not have been joined to another, and the bus on which changes are announced.
    pub fn new(engine: Arc<dyn Presence>, bus: Bus, clock: Arc<dyn Clock>, options: Options) -> Self {
        let inner = Arc::new(Inner {
            engine,
            bus,
            // The engine compares it only.
            holder: Holder(Arc::from(SessionId::generate().as_str())),
            pending: Pending::new(options.page_bytes_max.as_usize()),
            roster: Roster::default(),
            diary: Diary::new(Arc::clone(&clock)),
            clock,
            options,
            news: Notify::new(),
            taking_out: Mutex::default(),
            metrics: Handles::new(),
        });
        let hear: Arc<dyn Hear> = Arc::clone(&inner) as _;
        inner.engine.connect(Arc::downgrade(&hear));
        Self { inner }
    }

    /// Starts what presence does by itself: announce, take out who stays away, say that the node is alive, log. Call it
    /// once per node. Opens the journal at [`Options::path`]; if that cannot be done, the node stops.
    pub fn start(&self, life: &Lifecycle) {
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "tend presence", async move { inner.tend(&stop).await });
        self.inner.diary.will_run();
        let (inner, stop) = (Arc::clone(&self.inner), life.hard().clone());
        life.spawn(TaskKind::Critical, "log presence", async move {
            inner.diary.run(&inner.bus, inner.options.path.clone(), &stop).await;
        });
    }

    /// Makes the session a member, or replaces what it says of itself by `data`; returns the revision of the topic. Where
    /// joins are logged it returns when that has been done.
    pub async fn enter(&self, topic: &TopicKey, who: &Who, data: Option<Box<RawValue>>) -> Result<u64, Error> {
        let Inner { engine, options, diary, roster, .. } = &*self.inner;
        let policy = self.policy(&topic.topic)?;
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
        if !policy.log.is_empty() && diary.waiting() >= options.log_waiting_max {
            return Err(Error::Full);
        }
        roster.is_here(&topic.tenant, &who.session);
        let is_logged = !policy.log.is_empty();
        let done = engine
            .enter(Enter {
                topic: topic.clone(),
                policy,
                holder: self.inner.holder.clone(),
                session: who.session.clone(),
                user: who.user.clone(),
                info,
                data,
                now: self.inner.clock.now(),
                limits: Limits {
                    topics_per_session_max: options.topics_per_session_max,
                    members_max: options.members_max,
                    lease: options.lease.get(),
                },
            })
            .await?;
        if is_logged && done.changed && !diary.caught_up(options.log_patience.get()).await {
            return Err(Error::Unavailable("the join is not logged yet".into()));
        }
        Ok(done.rev)
    }

    /// Changes what the member says of itself by a merge patch (RFC 7396); returns the revision of the topic.
    pub async fn update(&self, topic: &TopicKey, who: &Who, patch: &RawValue) -> Result<u64, Error> {
        let policy = self.policy(&topic.topic)?;
        check_size(&policy, &topic.topic, patch)?;
        let Some(patch) = patch::tidy(patch)? else {
            let nothing = |_: Option<&RawValue>| Ok(None);
            return Ok(self.inner.engine.update(topic, &who.session, &nothing).await?.rev);
        };
        let edit = |data: Option<&RawValue>| {
            let merged = patch::merge(data, &patch)?;
            check_size(&policy, &topic.topic, &merged)?;
            Ok(Some(merged))
        };
        Ok(self.inner.engine.update(topic, &who.session, &edit).await?.rev)
    }

    /// Takes the session out of the topic; returns the revision of the topic. Nothing happens if it is not a member.
    pub async fn leave(&self, topic: &TopicKey, session: &SessionId) -> Result<u64, Error> {
        Ok(self.inner.engine.leave(topic, session, &self.inner.holder).await?.rev)
    }

    /// A page of the members, in the order of their ids, after the one with the id `after`: at most `limit`, and not
    /// more than the options allow. A limit of 0 tells only their number.
    pub async fn members(&self, topic: &TopicKey, after: Option<&str>, limit: usize) -> Result<Members, Error> {
        self.policy(&topic.topic)?;
        let Options { page_members_max, page_bytes_max, .. } = &self.inner.options;
        let limit = limit.min(*page_members_max);
        self.inner.engine.members(topic, after, limit, page_bytes_max.as_usize()).await
    }

    /// How many are in each of `topics`, in their order.
    pub async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        for topic in topics {
            self.policy(&topic.topic)?;
        }
        self.inner.engine.occupancy(topics).await
    }

    /// The topics that a user is in, sorted.
    pub async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        self.inner.engine.topics_of(tenant, user).await
    }

    /// Takes all sessions of a user out of every topic; says out of how many topics. They may enter again.
    pub async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        self.inner.engine.remove_user(tenant, user, &self.inner.holder).await
    }

    /// The session's connection broke: its grace time begins, and when it ends the session leaves. Costs next to nothing
    /// if it has entered nothing. Not to be called by a connection whose session another one has taken over.
    pub fn disconnected(&self, tenant: &Tenant, session: &SessionId) {
        if self.inner.roster.is_away(tenant, session, false).is_some() {
            self.inner.news.notify_one();
        }
    }

    /// The session is back: it was never gone. Says where it still is a member.
    pub async fn resumed(&self, tenant: &Tenant, session: &SessionId) -> Vec<Topic> {
        let Inner { engine, holder, roster, taking_out, metrics, .. } = &*self.inner;
        if !roster.knows(tenant, session) {
            return Vec::new();
        }
        let in_the_meantime_nobody_is_taken_out = taking_out.lock().await;
        if roster.is_back(tenant, session) {
            metrics.resumed.increment(1);
        }
        let topics = engine.topics_in(tenant, session, holder).await;
        drop(in_the_meantime_nobody_is_taken_out);
        topics.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "it is not known where a session is a member");
            Vec::new()
        })
    }

    /// The session has ended on purpose: it leaves every topic at once. If the future is dropped, it does so a moment
    /// later.
    pub async fn gone(&self, tenant: &Tenant, session: &SessionId) {
        if let Some(away) = self.inner.roster.is_away(tenant, session, true) {
            self.inner.news.notify_one();
            self.inner.take_out((tenant.clone(), session.clone()), away).await;
        }
    }

    fn policy(&self, topic: &Topic) -> Result<Arc<PresencePolicy>, Error> {
        let policy = self.inner.bus.policy(topic).presence.as_ref();
        policy.map(Arc::clone).ok_or_else(|| Error::Disabled { kind: topic.kind().to_owned() })
    }
}

fn check_size(policy: &PresencePolicy, topic: &Topic, data: &RawValue) -> Result<(), Error> {
    let (size, size_max) = (data.get().len(), policy.data_bytes_max.as_usize());
    if size > size_max {
        return Err(Error::DataTooLarge { size, size_max, kind: topic.kind().to_owned() });
    }
    Ok(())
}
