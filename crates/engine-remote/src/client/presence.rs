//! Who is where, as the hub knows it.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::Fence;
use fanfare_model::{SessionId, Tenant, Topic, TopicKey, UserId};
use fanfare_presence::{Change, Done, Edit, Enter, Error, Holder, Member, Members, Occupancy, Presence};
use fanfare_proto::engine as proto;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
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

    fn answer<'a, A: Send + 'a>(
        &'a self,
        call: impl Future<Output = Result<Response<A>, Status>> + Send + 'a,
    ) -> BoxFuture<'a, Result<A, Error>> {
        self.link.answer(Service::Presence, call).map_err(presence_error).boxed()
    }
}

fn malformed(malformed: Malformed) -> Error {
    Error::Unavailable(malformed.into())
}

fn topics(names: &proto::TopicNames) -> Result<Vec<Topic>, Error> {
    names.topics.iter().map(|name| wire::to_name(name).map_err(malformed)).collect()
}

impl Presence for RemotePresence {
    fn outlives_node(&self) -> bool {
        true
    }

    fn shards(&self) -> u16 {
        self.shards
    }

    fn enter(&self, enter: Enter) -> BoxFuture<'_, Result<Done, Error>> {
        async move {
            let done = self.answer(self.client().enter(form::enter(&enter))).await?;
            Ok(form::to_done(done))
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        change: Edit<'a>,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        async move {
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
                match answer.what.ok_or(Malformed("answer to an update")).map_err(malformed)? {
                    What::Done(done) => return Ok(form::to_done(done)),
                    What::Current(current) => {
                        let said = form::to_said(&current).map_err(malformed)?;
                        next = form::said(change(said.as_deref())?.as_deref());
                        expected = Some(current);
                    }
                }
            }
            Err(Error::Unavailable("others change the same member all the time".into()))
        }
        .boxed()
    }

    fn leave<'a>(
        &'a self,
        topic: &'a TopicKey,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        async move {
            let request = proto::LeaveRequest {
                topic: Some(wire::topic(topic)),
                session: session.as_str().to_owned(),
                holder: holder.0.as_ref().to_owned(),
            };
            Ok(form::to_done(self.answer(self.client().leave(request)).await?))
        }
        .boxed()
    }

    fn members<'a>(
        &'a self,
        topic: &'a TopicKey,
        after: Option<&'a str>,
        limit: usize,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Members, Error>> {
        async move {
            let request = proto::MembersRequest {
                topic: Some(wire::topic(topic)),
                after: after.map(str::to_owned),
                limit: wire::count(limit),
                bytes_max: wire::count(bytes_max.min(self.link.batch_bytes_max())),
            };
            form::to_members(self.answer(self.client().members(request)).await?).map_err(malformed)
        }
        .boxed()
    }

    fn occupancy<'a>(&'a self, topics: &'a [TopicKey]) -> BoxFuture<'a, Result<Vec<Occupancy>, Error>> {
        async move {
            let request = proto::OccupancyRequest { topics: topics.iter().map(wire::topic).collect() };
            let answer = self.answer(self.client().occupancy(request)).await?;
            if answer.topics.len() != topics.len() {
                return Err(malformed(Malformed("number of topics")));
            }
            Ok(answer.topics.iter().map(|of| Occupancy { count: of.count, users: of.users }).collect())
        }
        .boxed()
    }

    fn topics_of<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        async move {
            let (tenant, user) = (tenant.as_str().to_owned(), user.as_str().to_owned());
            topics(&self.answer(self.client().topics_of(proto::TopicsOfRequest { tenant, user })).await?)
        }
        .boxed()
    }

    fn topics_in<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<Topic>, Error>> {
        async move {
            let request = proto::TopicsInRequest {
                tenant: tenant.as_str().to_owned(),
                session: session.as_str().to_owned(),
                holder: holder.0.as_ref().to_owned(),
            };
            topics(&self.answer(self.client().topics_in(request)).await?)
        }
        .boxed()
    }

    fn adopt<'a>(
        &'a self,
        tenant: &'a Tenant,
        session: &'a SessionId,
        holder: &'a Holder,
    ) -> BoxFuture<'a, Result<Vec<(Topic, Arc<Member>)>, Error>> {
        async move {
            let request = proto::TopicsInRequest {
                tenant: tenant.as_str().to_owned(),
                session: session.as_str().to_owned(),
                holder: holder.0.as_ref().to_owned(),
            };
            form::to_seats(&self.answer(self.client().adopt(request)).await?).map_err(malformed)
        }
        .boxed()
    }

    fn remove_user<'a>(&'a self, tenant: &'a Tenant, user: &'a UserId) -> BoxFuture<'a, Result<usize, Error>> {
        async move {
            let (tenant, user) = (tenant.as_str().to_owned(), user.as_str().to_owned());
            let answer = self.answer(self.client().remove_user(proto::RemoveUserRequest { tenant, user })).await?;
            Ok(to_count(answer.count))
        }
        .boxed()
    }

    fn heartbeat<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Result<bool, Error>> {
        async move {
            let request = proto::HeartbeatRequest { holder: holder.0.as_ref().to_owned(), lease: micros(lease) };
            Ok(self.answer(self.client().heartbeat(request)).await?.alive_since)
        }
        .boxed()
    }

    fn reap<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<usize, Error>> {
        async move {
            let request = proto::ReapRequest { holder: holder.0.as_ref().to_owned() };
            Ok(to_count(self.answer(self.client().reap(request)).await?.count))
        }
        .boxed()
    }

    fn feed(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<(u64, Change)>, Error>> {
        async move {
            let request =
                proto::FeedRequest { shard: u32::from(shard), after, limit: wire::count(limit), wait: micros(wait) };
            let mut client = self.client();
            let answer = self.link.answer_after(Service::Presence, wait, client.feed(request)).await;
            form::to_changes(&answer.map_err(presence_error)?).map_err(malformed)
        }
        .boxed()
    }

    fn fed(&self, shard: u16, fence: Fence, upto: u64) -> BoxFuture<'_, Result<bool, Error>> {
        async move {
            let request = proto::FedRequest { shard: u32::from(shard), fence: fence.get(), upto };
            Ok(self.answer(self.client().fed(request)).await?.taken)
        }
        .boxed()
    }

    fn fed_position(&self, shard: u16) -> BoxFuture<'_, Result<u64, Error>> {
        async move {
            let request = proto::FedPositionRequest { shard: u32::from(shard) };
            Ok(self.answer(self.client().fed_position(request)).await?.position)
        }
        .boxed()
    }
}
