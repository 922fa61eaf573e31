//! Who is where, as the hub knows it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::Fence;
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Adopted, Change, Done, Edit, Enter, Error, Holder, Members, Occupancy, Presence};
use fanfare_proto::engine as proto;
use proto::update_response::What;
use tonic::{Response, Status};

use super::link::{Link, Wire};
use crate::metrics::Service;
use crate::wire::presence as form;
use crate::wire::refusal::presence_error;
use crate::wire::{self, Malformed, micros, to_count};

/// How often an update is tried that others change at the same time.
const TRIES: usize = 64;

type Client = proto::presence_client::PresenceClient<Wire>;

pub(super) struct RemotePresence {
    link: Arc<Link>,
    shards: u16,
}

impl RemotePresence {
    pub(super) fn new(link: Arc<Link>, shards: u16) -> Self {
        Self { link, shards }
    }

    fn client(&self) -> Client {
        self.link.presence()
    }

    async fn answer<A: Send>(
        &self,
        call: impl Future<Output = Result<Response<A>, Status>> + Send,
    ) -> Result<A, Error> {
        self.link.answer(Service::Presence, call).await.map_err(presence_error)
    }
}

fn topics(names: &proto::TopicNames) -> Result<Vec<Topic>, Malformed> {
    names.topics.iter().map(|name| wire::to_name(name)).collect()
}

#[async_trait]
impl Presence for RemotePresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    async fn enter(&self, enter: Enter) -> Result<Done, Error> {
        let done = self.answer(self.client().enter(form::enter(&enter))).await?;
        Ok(form::to_done(done))
    }

    async fn update(&self, topic: &TopicKey, session: &SessionId, change: Edit<'_>) -> Result<Done, Error> {
        // The first call only asks: what is changed is what is there.
        let (mut expected, mut next) = (None, proto::Said::default());
        for _ in 0..TRIES {
            let request = proto::UpdateRequest {
                topic: Some(wire::topic(topic)),
                session: session.as_str().to_owned(),
                expected: expected.take(),
                next: Some(std::mem::take(&mut next)),
            };
            let answer = self.answer(self.client().update(request)).await?;
            match answer.what.ok_or(Malformed("answer to an update"))? {
                What::Done(done) => return Ok(form::to_done(done)),
                What::Current(current) => {
                    let said = form::to_said(&current)?;
                    next = form::said(change(said.as_deref())?.as_deref());
                    expected = Some(current);
                }
            }
        }
        Err(Error::Unavailable("others change the same member all the time".into()))
    }

    async fn leave(&self, topic: &TopicKey, session: &SessionId, holder: &Holder) -> Result<Done, Error> {
        let request = proto::LeaveRequest {
            topic: Some(wire::topic(topic)),
            session: session.as_str().to_owned(),
            holder: holder.0.as_ref().to_owned(),
        };
        Ok(form::to_done(self.answer(self.client().leave(request)).await?))
    }

    async fn members(
        &self,
        topic: &TopicKey,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Members, Error> {
        let request = proto::MembersRequest {
            topic: Some(wire::topic(topic)),
            after: after.map(str::to_owned),
            limit: wire::count(limit),
            bytes_max: wire::count(bytes_max.min(self.link.batch_bytes_max())),
        };
        Ok(form::to_members(self.answer(self.client().members(request)).await?)?)
    }

    async fn occupancy(&self, topics: &[TopicKey]) -> Result<Vec<Occupancy>, Error> {
        let request = proto::OccupancyRequest { topics: topics.iter().map(wire::topic).collect() };
        let answer = self.answer(self.client().occupancy(request)).await?;
        if answer.topics.len() != topics.len() {
            return Err(Malformed("number of topics").into());
        }
        Ok(answer.topics.iter().map(|of| Occupancy { count: of.count, users: of.users }).collect())
    }

    async fn topics_of(&self, tenant: &Tenant, user: &UserId) -> Result<Vec<Topic>, Error> {
        let (tenant, user) = (tenant.as_str().to_owned(), user.as_str().to_owned());
        Ok(topics(&self.answer(self.client().topics_of(proto::TopicsOfRequest { tenant, user })).await?)?)
    }

    async fn topics_in(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Topic>, Error> {
        let request = proto::TopicsInRequest {
            tenant: tenant.as_str().to_owned(),
            session: session.as_str().to_owned(),
            holder: holder.0.as_ref().to_owned(),
        };
        Ok(topics(&self.answer(self.client().topics_in(request)).await?)?)
    }

    async fn adopt(&self, tenant: &Tenant, session: &SessionId, holder: &Holder) -> Result<Vec<Adopted>, Error> {
        let request = proto::TopicsInRequest {
            tenant: tenant.as_str().to_owned(),
            session: session.as_str().to_owned(),
            holder: holder.0.as_ref().to_owned(),
        };
        Ok(form::to_seats(&self.answer(self.client().adopt(request)).await?)?)
    }

    async fn remove_user(&self, tenant: &Tenant, user: &UserId) -> Result<usize, Error> {
        let (tenant, user) = (tenant.as_str().to_owned(), user.as_str().to_owned());
        let answer = self.answer(self.client().remove_user(proto::RemoveUserRequest { tenant, user })).await?;
        Ok(to_count(answer.count))
    }

    async fn heartbeat(&self, holder: &Holder, lease: Duration) -> Result<bool, Error> {
        let request = proto::HeartbeatRequest { holder: holder.0.as_ref().to_owned(), lease: micros(lease) };
        Ok(self.answer(self.client().heartbeat(request)).await?.alive_since)
    }

    async fn reap(&self, holder: &Holder) -> Result<usize, Error> {
        let request = proto::ReapRequest { holder: holder.0.as_ref().to_owned() };
        Ok(to_count(self.answer(self.client().reap(request)).await?.count))
    }

    async fn feed(&self, shard: u16, after: u64, limit: usize, wait: Duration) -> Result<Vec<(u64, Change)>, Error> {
        let request =
            proto::FeedRequest { shard: u32::from(shard), after, limit: wire::count(limit), wait: micros(wait) };
        let mut client = self.client();
        let answer = self.link.answer_after(Service::Presence, wait, client.feed(request)).await;
        Ok(form::to_changes(&answer.map_err(presence_error)?)?)
    }

    async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Error> {
        let request = proto::FedRequest { shard: u32::from(shard), fence: fence.get(), upto };
        Ok(self.answer(self.client().fed(request)).await?.taken)
    }

    async fn fed_position(&self, shard: u16) -> Result<u64, Error> {
        let request = proto::FedPositionRequest { shard: u32::from(shard) };
        Ok(self.answer(self.client().fed_position(request)).await?.position)
    }
}
