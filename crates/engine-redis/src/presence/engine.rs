//! The seam.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::Fence;
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Change, Done, Edit, Enter, Error, Holder, Member, Members, Occupancy, Presence};
use futures_util::future::try_join_all;
use redis::Value;
use serde_json::value::RawValue;

use super::feed::parts;
use super::{GARBLED, Place, RedisPresence, name};
use crate::answers;
use crate::error::Failure;
use crate::keys::{PARTITIONS, Partition, joined};

/// Seats that one call of the script takes away: some milliseconds of the server.
const SEATS_AT_ONCE: usize = 500;

fn millis(lease: Duration) -> String {
    lease.as_millis().to_string()
}

fn text(raw: Option<&RawValue>) -> &str {
    raw.map_or("", RawValue::get)
}

/// A member that was stored.
fn member(json: &Value) -> Result<Arc<Member>, Failure> {
    let json = answers::bytes(json).ok_or(GARBLED)?;
    serde_json::from_slice(json).map(Arc::new).map_err(|_| GARBLED)
}

impl RedisPresence {
    async fn occupancy_of(&self, topic: &TopicKey) -> Result<Occupancy, Failure> {
        let place = Place::of(topic);
        let key = |kind| self.servers.keys.key(place.partition, kind, &place.flat);
        let (members, users) = (key("pm"), key("px"));
        let count = async |key: &[u8]| {
            let make = |_: &_| {
                let mut count = redis::cmd("HLEN");
                count.arg(key);
                vec![count]
            };
            answers::unsigned(&self.call(place.partition, make).await?).ok_or(GARBLED)
        };
        let (count, users) = futures_util::future::try_join(count(&members), count(&users)).await?;
        Ok(Occupancy { count, users })
    }

    async fn reap_partition(&self, partition: Partition, holder: &Holder) -> Result<usize, Failure> {
        let most = SEATS_AT_ONCE.to_string();
        let mut reaped = 0;
        loop {
            let answer = self.ask(partition, "reap", &[name(holder), most.as_bytes()]).await?;
            let removed = self.removed(partition, &answer)?;
            self.take_off_all(&removed).await?;
            reaped += removed.len();
            if removed.len() < SEATS_AT_ONCE {
                return Ok(reaped);
            }
        }
    }
}

#[async_trait]
impl Presence for RedisPresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        PARTITIONS
    }

    async fn enter(&self, enter: Enter) -> Result<Done, Error> {
        let id = enter.member_id()?;
        let place = Place::of(&enter.topic);
        let token = format!("{:x}", fanfare_model::Epoch::generate().as_u32());
        let topics_max = enter.limits.topics_per_session_max;
        let put_down = async || self.put_down(&enter.topic, &enter.session, token.as_bytes(), topics_max).await;
        let is_new = if let Some(is_new) = put_down().await? {
            is_new
        } else {
            // What a node that died has left on the list does not count.
            self.tidy_list(&enter.topic.tenant, &enter.session).await?;
            put_down().await?.ok_or(Error::TooManyTopics { topics_max })?
        };
        let user = enter.user.as_ref().map_or("", UserId::as_str);
        let (since, lease) = (enter.now.as_micros().to_string(), millis(enter.limits.lease));
        let members_max = enter.policy.members_max.to_string();
        let (seats_max, waiting_max) = (enter.limits.members_max.to_string(), enter.limits.waiting_max.to_string());
        let arguments = [
            &place.flat[..],
            enter.session.as_str().as_bytes(),
            id.as_bytes(),
            user.as_bytes(),
            name(&enter.holder),
            token.as_bytes(),
            text(enter.info.as_deref()).as_bytes(),
            text(enter.data.as_deref()).as_bytes(),
            since.as_bytes(),
            members_max.as_bytes(),
            lease.as_bytes(),
            seats_max.as_bytes(),
            waiting_max.as_bytes(),
        ];
        match self.ask(place.partition, "enter", &arguments).await? {
            Value::Nil => {
                if is_new {
                    self.take_off(&enter.topic, &enter.session, token.as_bytes()).await?;
                }
                Err(Error::Full)
            }
            answer => Ok(self.done(place.partition, &answer)?),
        }
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        let place = Place::of(topic);
        let session = session.as_str().as_bytes();
        loop {
            let said = self.ask(place.partition, "said", &[&place.flat, session]).await?;
            let said = match &said {
                Value::Nil => return Err(Error::NotMember),
                Value::Array(said) => said.get(1).and_then(answers::text).ok_or(GARBLED)?,
                _ => return Err(GARBLED.into()),
            };
            let known = match said {
                "" => None,
                json => Some(RawValue::from_string(json.to_owned()).map_err(|_| GARBLED)?),
            };
            let says = change(known.as_deref())?;
            let arguments = [&place.flat[..], session, said.as_bytes(), text(says.as_deref()).as_bytes()];
            match self.ask(place.partition, "say", &arguments).await? {
                Value::Nil => return Err(Error::NotMember),
                // Somebody else was quicker: from what that has made of it.
                Value::Int(-1) => {}
                answer => return Ok(self.done(place.partition, &answer)?),
            }
        }
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        let place = Place::of(topic);
        let arguments = [&place.flat[..], session.as_str().as_bytes(), name(holder)];
        let answer = self.ask(place.partition, "leave", &arguments).await?;
        let done = self.done(place.partition, &answer)?;
        if let Value::Array(fields) = &answer
            && let Some(token) = fields.get(3).and_then(answers::bytes)
        {
            self.take_off(topic, session, token).await?;
        }
        Ok(done)
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        let place = Place::of(topic);
        let (limit, bytes_max) = (limit.to_string(), bytes_max.to_string());
        let arguments = [&place.flat[..], after.unwrap_or_default().as_bytes(), limit.as_bytes(), bytes_max.as_bytes()];
        let answer = self.ask(place.partition, "members", &arguments).await?;
        let Value::Array(fields) = &answer else { return Err(GARBLED.into()) };
        let [rev, count, only, next, members @ ..] = &fields[..] else { return Err(GARBLED.into()) };
        let next = answers::text(next).ok_or(GARBLED)?;
        Ok(Members {
            rev: answers::unsigned(rev).ok_or(GARBLED)?,
            count: answers::unsigned(count).ok_or(GARBLED)?,
            members: members.iter().map(member).collect::<Result<_, _>>()?,
            next: (!next.is_empty()).then(|| next.to_owned()),
            occupancy_only: answers::number(only) == Some(1),
        })
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        Ok(try_join_all(topics.iter().map(|topic| self.occupancy_of(topic))).await?)
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        let whose = joined(&[tenant.as_str(), user.as_str()]);
        let each = Partition::all().map(|partition| {
            let key = self.servers.keys.key(partition, "pu", &whose);
            async move {
                let make = |_: &_| {
                    let mut list = redis::cmd("SMEMBERS");
                    list.arg(&key);
                    vec![list]
                };
                self.call(partition, make).await
            }
        });
        let mut topics = HashSet::new();
        for seats in try_join_all(each).await? {
            let (Value::Set(seats) | Value::Array(seats)) = seats else { return Err(GARBLED.into()) };
            // `tenant 0 topic 0 session`
            let topic = |seat: &Value| Topic::from_stored(answers::text(seat)?.split('\0').nth(1)?).ok();
            topics.extend(seats.iter().filter_map(topic));
        }
        let mut topics: Vec<_> = topics.into_iter().collect();
        topics.sort_unstable();
        Ok(topics)
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        let listed = self.listed(tenant, session).await?;
        let each = listed.into_iter().map(|(topic, _)| async move {
            let key = TopicKey::new(tenant.clone(), topic);
            let held = self.held(&key, session).await?;
            Ok::<_, Failure>((held.as_deref() == Some(name(holder))).then_some(key.topic))
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }

    async fn adopt(
        &self,
        tenant: &Tenant,
        session: &SessionId,
        holder: &Holder,
    ) -> Result<Vec<(Topic, Arc<Member>)>, Error> {
        /// Who adopts is alive; it says so itself within this time.
        const LEASE: Duration = Duration::from_secs(15);
        let lease = millis(LEASE);
        let listed = self.listed(tenant, session).await?;
        let each = listed.into_iter().map(|(topic, token)| {
            let lease = lease.as_bytes();
            async move {
                let key = TopicKey::new(tenant.clone(), topic);
                let place = Place::of(&key);
                let arguments = [&place.flat[..], session.as_str().as_bytes(), name(holder), lease];
                match self.ask(place.partition, "adopt", &arguments).await? {
                    Value::Nil => {
                        self.take_off(&key, session, &token).await?;
                        Ok::<_, Failure>(None)
                    }
                    json => Ok(Some((key.topic, member(&json)?))),
                }
            }
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let whose = joined(&[tenant.as_str(), user.as_str()]);
        let each = Partition::all().map(|partition| {
            let whose = &whose;
            async move {
                let answer = self.ask(partition, "remove_user", &[whose]).await?;
                let removed = self.removed(partition, &answer)?;
                self.take_off_all(&removed).await?;
                Ok::<_, Failure>(removed.iter().map(|seat| &seat.topic).collect::<HashSet<_>>().len())
            }
        });
        Ok(try_join_all(each).await?.into_iter().sum())
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        let lease = millis(lease);
        let each = Partition::all().map(|partition| {
            let lease = lease.as_bytes();
            async move { self.ask(partition, "heartbeat", &[name(holder), lease]).await }
        });
        let alive = try_join_all(each).await?;
        Ok(alive.iter().all(|alive| *alive == Value::Int(1)))
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
        let each = Partition::all().map(|partition| self.reap_partition(partition, holder));
        Ok(try_join_all(each).await?.into_iter().sum())
    }

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        if shard >= PARTITIONS {
            return Ok(Vec::new());
        }
        Ok(self.read_feed(Partition(shard), after, limit, wait).await?)
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        let (ms, number) = parts(upto);
        let arguments = [fence.get(), ms, number].map(|number| number.to_string());
        let arguments = arguments.each_ref().map(String::as_bytes);
        let answer = self.ask(Partition(shard % PARTITIONS), "fed", &arguments).await?;
        Ok(answer == Value::Int(1))
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        let partition = Partition(shard % PARTITIONS);
        let key = self.servers.keys.key(partition, "pfed", b"");
        let make = |_: &_| {
            let mut get = redis::cmd("HMGET");
            get.arg(&key).arg("ms").arg("seq");
            vec![get]
        };
        let Value::Array(fields) = self.call(partition, make).await? else {
            return Err(GARBLED.into());
        };
        match &fields[..] {
            [Value::Nil, _] => Ok(0),
            [ms, number] => {
                let (Some(ms), Some(number)) = (answers::text(ms), answers::text(number)) else {
                    return Err(GARBLED.into());
                };
                Ok(super::feed::position(&format!("{ms}-{number}")).ok_or(GARBLED)?)
            }
            _ => Err(GARBLED.into()),
        }
    }
}
