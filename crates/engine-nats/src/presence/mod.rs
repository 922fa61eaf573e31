//! Presence: each shard is one message, which says who is in its topics, and a feed.
//!
//! A change replaces the message by compare-and-swap and carries what is to be fed in it (its outbox); what it carries is
//! put into the feed afterwards, by whoever comes next if the one that made it dies, and is there once. A node keeps what
//! it has read, and reads what changed since before it answers.

mod feed;
mod holders;
mod replica;
mod state;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::Fence;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Adopted, Change, Done, Edit, Enter, Error, Holder, Members, Occupancy, Presence};
use futures_util::StreamExt as _;
use tokio_util::sync::DropGuard;

use crate::life::Stream;
use crate::link::Link;
use crate::options::Options;
use crate::stream::{self, Wanted};
use feed::Feeds;
use holders::Holders;
use replica::{Known, Replica};
use state::Unseat;

/// How many shards there are: each is one message, of which a server takes 1 MB by default.
const SHARDS: u16 = 64;

/// [`Presence`] in streams.
pub(crate) struct NatsPresence {
    link: Arc<Link>,
    replica: Arc<Replica>,
    feeds: Arc<Feeds>,
    holders: Holders,
    _until_dropped: DropGuard,
}

impl NatsPresence {
    pub(crate) async fn open(link: Arc<Link>, options: &Options, life: &Lifecycle) -> Result<Arc<Self>, crate::Error> {
        let (prefix, replicas) = (&options.prefix, options.replicas);
        let records = Wanted::records(format!("{prefix}-presence"), format!("{prefix}.presence.>"), replicas);
        let states = Stream::open(&link, Wanted { has_ttl: true, ..records }).await?;
        let replica = Arc::new(Replica::new(Arc::clone(&link), states, prefix));
        let (source, told) = (format!("{prefix}.presence-feed.*"), format!("{prefix}.presence-fed.*"));
        let feed = Wanted::records(replica.feed_stream().to_owned(), source.clone(), replicas);
        let republish = Some((source.replace('*', ">"), told.replace('*', ">")));
        Stream::open(&link, Wanted { per_subject_max: None, republish, ..feed }).await?;
        let feeds = Arc::new(Feeds::new(Arc::clone(&link), Arc::clone(&replica), prefix));
        let ears = link.client.subscribe(told).await.map_err(|error| crate::Error::Unreachable(error.into()))?;
        let end = life.hard().child_token();
        let until_dropped = end.clone().drop_guard();
        life.spawn(TaskKind::Background, "nats-presence", ring(Arc::clone(&feeds), Arc::clone(&link), ears, end));
        let holders = Holders::new(Arc::clone(&link), replica.stream().to_owned(), prefix);
        Ok(Arc::new(Self { link, replica, feeds, holders, _until_dropped: until_dropped }))
    }

    async fn refreshed(&self) -> Result<impl Iterator<Item = Arc<Known>>, Error> {
        self.replica.refresh().await?;
        Ok(self.replica.all())
    }
}

/// What a change of a topic came to: whether it was told, and the revision.
fn done((changed, rev): (bool, u64), known: &Known) -> Done {
    Done { rev, changed, position: if changed { known.state.position } else { 0 } }
}

fn sorted(topics: &[String]) -> Vec<Topic> {
    let mut topics: Vec<Topic> = topics.iter().filter_map(|topic| Topic::from_stored(topic).ok()).collect();
    topics.sort();
    topics
}

/// Tells who waits for a feed of what is put there, by whichever node.
async fn ring(
    feeds: Arc<Feeds>,
    link: Arc<Link>,
    mut ears: async_nats::Subscriber,
    end: tokio_util::sync::CancellationToken,
) {
    let mut settled = link.settled();
    loop {
        let message = tokio::select! {
            () = end.cancelled() => return,
            message = ears.next() => match message {
                Some(message) => Some(message),
                None => return,
            },
            changed = settled.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
        };
        let shard = message.as_ref().map(|message| {
            message.subject.rsplit('.').next().and_then(|shard| shard.parse::<usize>().ok()).unwrap_or(usize::MAX)
        });
        match shard {
            Some(shard) => drop(feeds.news.get(shard).map(tokio::sync::Notify::notify_waiters)),
            // Something may have been missed: everybody looks.
            None => feeds.news.iter().for_each(tokio::sync::Notify::notify_waiters),
        }
    }
}

#[async_trait]
impl Presence for NatsPresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        SHARDS
    }

    async fn enter(&self, mut enter: Enter) -> Result<Done, Error> {
        let shard = self.shard_of(&enter.topic);
        enter.now = self.link.now();
        self.holders.keep_alive(&enter.holder, enter.limits.lease).await?;
        let topics_max = enter.limits.topics_per_session_max;
        self.replica.refresh().await?;
        let known = self.replica.known(shard);
        if !known.state.has(&enter.topic, &enter.session) {
            let (tenant, session) = (enter.topic.tenant.as_str(), enter.session.as_str());
            let topics: usize = self.replica.all().map(|known| known.topics_of_session(tenant, session).len()).sum();
            if topics >= topics_max {
                return Err(Error::TooManyTopics { topics_max });
            }
            let waiting_max = enter.limits.waiting_max;
            if known.seats >= enter.limits.members_max
                || self.feeds.is_full(shard, known.state.number, waiting_max).await?
            {
                return Err(Error::Full);
            }
        }
        let (rev, known) = self
            .replica
            .change(
                shard,
                || self.link.now(),
                |state, now| {
                    let before = state.number;
                    let changed = state.enter(&enter, now)?;
                    Ok((state.number > before, changed))
                },
            )
            .await
            .map(|(told, known)| ((told, known.state.rev(&enter.topic)), known))?;
        Ok(done(rev, &known))
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        let shard = self.shard_of(topic);
        let (told, known) = self
            .replica
            .change(
                shard,
                || self.link.now(),
                |state, now| {
                    let changed = state.update(topic, session, change, now)?;
                    Ok((changed, changed))
                },
            )
            .await?;
        Ok(done((told, known.state.rev(topic)), &known))
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        let shard = self.shard_of(topic);
        let ((rev, told), known) = self
            .replica
            .change(
                shard,
                || self.link.now(),
                |state, now| {
                    let (before, rev) = (state.number, state.rev(topic));
                    let removed = state.unseat(topic, &Unseat::Session(session, holder), now);
                    let told = state.number > before;
                    // One that is empty is forgotten, and its revision with it.
                    Ok(((rev + u64::from(told), told), removed > 0))
                },
            )
            .await?;
        Ok(done((told, rev), &known))
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        self.replica.refresh().await?;
        let known = self.replica.known(self.shard_of(topic));
        Ok(match known.state.crowd(topic) {
            Some(crowd) => crowd.page(after, limit, bytes_max),
            None => Members { rev: known.state.rev(topic), ..Members::default() },
        })
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        self.replica.refresh().await?;
        let of = |topic| {
            let known = self.replica.known(self.shard_of(topic));
            known.state.crowd(topic).map(state::Crowd::occupancy).unwrap_or_default()
        };
        Ok(topics.iter().map(of).collect())
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        let of = |known: Arc<Known>| known.topics_of_user(tenant.as_str(), user.as_str()).to_vec();
        Ok(sorted(&self.refreshed().await?.flat_map(of).collect::<Vec<_>>()))
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        let of = |known: Arc<Known>| known.topics_of_session(tenant.as_str(), session.as_str()).to_vec();
        let mut topics = sorted(&self.refreshed().await?.flat_map(of).collect::<Vec<_>>());
        topics.retain(|topic| {
            let key = TopicKey::new(tenant.clone(), topic.clone());
            let known = self.replica.known(self.shard_of(&key));
            let seat = known.state.crowd(&key).and_then(|crowd| crowd.seats.get(session.as_str()));
            seat.is_some_and(|seat| *seat.holder == *holder.0)
        });
        Ok(topics)
    }

    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error> {
        let mut adopted = Vec::new();
        let mut topics = Vec::new();
        for known in self.refreshed().await? {
            topics.extend_from_slice(known.topics_of_session(tenant.as_str(), session.as_str()));
        }
        for topic in sorted(&topics) {
            let key = TopicKey::new(tenant.clone(), topic);
            let (member, _) = self
                .replica
                .change(
                    self.shard_of(&key),
                    || self.link.now(),
                    |state, _| {
                        let adopted = state.adopt(&key, session, holder);
                        let moved = adopted.as_ref().is_some_and(|(_, moved)| *moved);
                        Ok((adopted.map(|(member, _)| member), moved))
                    },
                )
                .await?;
            adopted.extend(member.map(|member| (key.topic, member)));
        }
        Ok(adopted)
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let mut removed = 0;
        let shards: Vec<_> = (0..SHARDS).zip(self.refreshed().await?).collect();
        for (shard, known) in shards {
            if known.topics_of_user(tenant.as_str(), user.as_str()).is_empty() {
                continue;
            }
            let remove = |state: &mut state::State, now| {
                let topics = state.remove_user(tenant, user, now);
                Ok((topics, topics > 0))
            };
            removed += self.replica.change(shard, || self.link.now(), remove).await?.0;
        }
        Ok(removed)
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        Ok(self.holders.beat(holder, lease).await?)
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
        // What time it is decides who is dead.
        stream::info(&self.link, self.replica.stream()).await?;
        self.replica.refresh().await?;
        let suspects = self.replica.holders().into_iter().filter(|each| **each != *holder.0);
        let dead = self.holders.dead(suspects).await?;
        if dead.is_empty() {
            return Ok(0);
        }
        let mut reaped = 0;
        for (shard, known) in (0..SHARDS).zip(self.replica.all()) {
            if known.state.all_seats().any(|(.., seat)| dead.contains(&seat.holder)) {
                let bury = |state: &mut state::State, now| {
                    let seats = state.bury(&dead, now);
                    Ok((seats, seats > 0))
                };
                reaped += self.replica.change(shard, || self.link.now(), bury).await?.0;
            }
        }
        Ok(reaped)
    }

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        if shard >= SHARDS {
            return Ok(Vec::new());
        }
        Ok(self.feeds.wait(shard, after, limit, wait).await?)
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        if shard >= SHARDS {
            return Ok(false);
        }
        Ok(self.feeds.fed(shard, fence, upto).await?)
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        Ok(self.feeds.position(shard).await?)
    }
}
