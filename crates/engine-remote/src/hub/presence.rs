//! The service `Presence`.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::Fence;
use fanfare_presence::{Error, Presence};
use fanfare_proto::engine as proto;
use parking_lot::Mutex;
use proto::update_response::What;
use serde_json::value::RawValue;
use tonic::{Request, Response, Status};

use crate::wire::presence as form;
use crate::wire::refusal::presence_status;
use crate::wire::{self, Malformed, to_count};

/// The longest wait for something in a feed that a gateway may ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) struct Service(pub(super) Arc<dyn Presence>);

impl Service {
    fn shard(&self, number: u32) -> Result<u16, Malformed> {
        let shard = u16::try_from(number).map_err(|_| Malformed("shard"))?;
        if shard < self.0.shards() { Ok(shard) } else { Err(Malformed("shard")) }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form of a closure that maps errors")]
fn failed(error: Error) -> Status {
    presence_status(&error)
}

fn names(topics: &[fanfare_model::Topic]) -> proto::TopicNames {
    proto::TopicNames { topics: topics.iter().map(|topic| topic.as_str().to_owned()).collect() }
}

#[tonic::async_trait]
impl proto::presence_server::Presence for Service {
    async fn shards(&self, _: Request<proto::ShardsRequest>) -> Result<Response<proto::ShardsResponse>, Status> {
        Ok(Response::new(proto::ShardsResponse { shards: u32::from(self.0.shards()) }))
    }

    async fn enter(&self, request: Request<proto::EnterRequest>) -> Result<Response<proto::Done>, Status> {
        let done = self.0.enter(form::to_enter(request.get_ref())?).await.map_err(failed)?;
        Ok(Response::new(form::done(done)))
    }

    /// Compares what the member says of itself with what the caller expects, and only then changes it.
    async fn update(&self, request: Request<proto::UpdateRequest>) -> Result<Response<proto::UpdateResponse>, Status> {
        let request = request.get_ref();
        let topic = wire::to_topic(request.topic.as_ref())?;
        let session = form::to_session(&request.session)?;
        let next = request.next.as_ref().map(form::to_said).transpose()?.ok_or(Malformed("update"))?;
        let expected = request.expected.as_ref();
        let found: Mutex<Option<proto::Said>> = Mutex::default();
        let change = |current: Option<&RawValue>| {
            let said = form::said(current);
            if expected == Some(&said) {
                // A retry within the engine may have found something else before.
                *found.lock() = None;
                return Ok(next.clone());
            }
            *found.lock() = Some(said);
            Err(Error::NotMember)
        };
        let done = self.0.update(&topic, &session, &change).await;
        let what = match (done, found.into_inner()) {
            (Ok(done), _) => What::Done(form::done(done)),
            (Err(_), Some(current)) => What::Current(current),
            (Err(error), None) => return Err(failed(error)),
        };
        Ok(Response::new(proto::UpdateResponse { what: Some(what) }))
    }

    async fn leave(&self, request: Request<proto::LeaveRequest>) -> Result<Response<proto::Done>, Status> {
        let request = request.get_ref();
        let topic = wire::to_topic(request.topic.as_ref())?;
        let (session, holder) = (form::to_session(&request.session)?, form::to_holder(&request.holder));
        let done = self.0.leave(&topic, &session, &holder).await.map_err(failed)?;
        Ok(Response::new(form::done(done)))
    }

    async fn members(
        &self,
        request: Request<proto::MembersRequest>,
    ) -> Result<Response<proto::MembersResponse>, Status> {
        let proto::MembersRequest { topic, after, limit, bytes_max } = request.get_ref();
        let topic = wire::to_topic(topic.as_ref())?;
        let members = self.0.members(&topic, after.as_deref(), to_count(*limit), to_count(*bytes_max));
        Ok(Response::new(form::members(&members.await.map_err(failed)?)))
    }

    async fn occupancy(
        &self,
        request: Request<proto::OccupancyRequest>,
    ) -> Result<Response<proto::OccupancyResponse>, Status> {
        let topics = request.get_ref().topics.iter().map(|key| wire::to_topic(Some(key)));
        let topics = topics.collect::<Result<Vec<_>, _>>()?;
        let occupancies = self.0.occupancy(&topics).await.map_err(failed)?;
        let topics = occupancies.iter().map(|of| proto::TopicOccupancy { count: of.count, users: of.users });
        Ok(Response::new(proto::OccupancyResponse { topics: topics.collect() }))
    }

    async fn topics_of(&self, request: Request<proto::TopicsOfRequest>) -> Result<Response<proto::TopicNames>, Status> {
        let proto::TopicsOfRequest { tenant, user } = request.get_ref();
        let (tenant, user) = (wire::to_tenant(tenant)?, form::to_user(user)?);
        Ok(Response::new(names(&self.0.topics_of(&tenant, &user).await.map_err(failed)?)))
    }

    async fn topics_in(&self, request: Request<proto::TopicsInRequest>) -> Result<Response<proto::TopicNames>, Status> {
        let proto::TopicsInRequest { tenant, session, holder } = request.get_ref();
        let (tenant, session) = (wire::to_tenant(tenant)?, form::to_session(session)?);
        let topics = self.0.topics_in(&tenant, &session, &form::to_holder(holder)).await.map_err(failed)?;
        Ok(Response::new(names(&topics)))
    }

    async fn adopt(&self, request: Request<proto::TopicsInRequest>) -> Result<Response<proto::AdoptResponse>, Status> {
        let proto::TopicsInRequest { tenant, session, holder } = request.get_ref();
        let (tenant, session) = (wire::to_tenant(tenant)?, form::to_session(session)?);
        let seats = self.0.adopt(&tenant, &session, &form::to_holder(holder)).await.map_err(failed)?;
        Ok(Response::new(form::seats(&seats)))
    }

    async fn remove_user(&self, request: Request<proto::RemoveUserRequest>) -> Result<Response<proto::Count>, Status> {
        let proto::RemoveUserRequest { tenant, user } = request.get_ref();
        let (tenant, user) = (wire::to_tenant(tenant)?, form::to_user(user)?);
        let removed = self.0.remove_user(&tenant, &user).await.map_err(failed)?;
        Ok(Response::new(proto::Count { count: wire::count(removed) }))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let proto::HeartbeatRequest { holder, lease } = request.get_ref();
        let alive = self.0.heartbeat(&form::to_holder(holder), Duration::from_micros(*lease)).await;
        Ok(Response::new(proto::HeartbeatResponse { alive_since: alive.map_err(failed)? }))
    }

    async fn reap(&self, request: Request<proto::ReapRequest>) -> Result<Response<proto::Count>, Status> {
        let reaped = self.0.reap(&form::to_holder(&request.get_ref().holder)).await.map_err(failed)?;
        Ok(Response::new(proto::Count { count: wire::count(reaped) }))
    }

    async fn feed(&self, request: Request<proto::FeedRequest>) -> Result<Response<proto::FeedResponse>, Status> {
        let proto::FeedRequest { shard, after, limit, wait } = request.into_inner();
        let wait = Duration::from_micros(wait).min(WAIT_MAX);
        let changes = self.0.feed(self.shard(shard)?, after, to_count(limit), wait).await.map_err(failed)?;
        Ok(Response::new(form::changes(&changes)))
    }

    async fn fed(&self, request: Request<proto::FedRequest>) -> Result<Response<proto::FedResponse>, Status> {
        let proto::FedRequest { shard, fence, upto } = request.into_inner();
        let taken = self.0.fed(self.shard(shard)?, Fence::new(fence), upto).await.map_err(failed)?;
        Ok(Response::new(proto::FedResponse { taken }))
    }

    async fn fed_position(
        &self,
        request: Request<proto::FedPositionRequest>,
    ) -> Result<Response<proto::FedPositionResponse>, Status> {
        let position = self.0.fed_position(self.shard(request.get_ref().shard)?).await.map_err(failed)?;
        Ok(Response::new(proto::FedPositionResponse { position }))
    }
}
