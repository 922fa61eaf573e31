//! The service `Engine`: the log of this node.

use std::sync::Arc;

use fanfare_bus::Broker;
use fanfare_lifecycle::Lifecycle;
use fanfare_proto::engine as proto;
use futures_util::stream::BoxStream;
use proto::engine_server::Engine;
use tonic::{Request, Response, Status, Streaming};

use super::follow::follow;
use super::followers::Followers;
use crate::wire::refusal::{log_status, of_log};
use crate::wire::{self, log as form};

pub(super) struct Service {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) followers: Option<Arc<Followers>>,
    pub(super) life: Lifecycle,
}

#[tonic::async_trait]
impl Engine for Service {
    type FollowStream = BoxStream<'static, Result<proto::News, Status>>;

    async fn hello(&self, request: Request<proto::HelloRequest>) -> Result<Response<proto::HelloResponse>, Status> {
        tracing::debug!(version = request.get_ref().version, "a gateway says hello");
        Ok(Response::new(form::hello(&self.broker.capabilities())))
    }

    async fn follow(
        &self,
        request: Request<Streaming<proto::Interest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let Some(followers) = &self.followers else {
            let text = "this hub's news are carried by its fan-out: set engine.kind = \"composed\" with log = \"remote\" and the same fan-out";
            return Err(Status::failed_precondition(text));
        };
        Ok(Response::new(follow(followers, request.into_inner(), self.life.clone())))
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let batch = form::to_batch(request.get_ref())?;
        let outcomes = self.broker.publish(batch).await;
        let outcomes = outcomes.iter().map(|outcome| proto::Outcome {
            what: Some(match outcome {
                Ok(appended) => proto::outcome::What::Appended(form::appended(appended)),
                Err(error) => proto::outcome::What::Refusal(of_log(error)),
            }),
        });
        Ok(Response::new(proto::PublishResponse { outcomes: outcomes.collect() }))
    }

    async fn heads(&self, request: Request<proto::HeadsRequest>) -> Result<Response<proto::HeadsResponse>, Status> {
        let topics = request.get_ref().topics.iter().map(|key| wire::to_topic(Some(key))).collect::<Result<_, _>>()?;
        let heads = self.broker.heads(topics).await.map_err(|error| log_status(&error))?;
        Ok(Response::new(proto::HeadsResponse { heads: heads.iter().map(form::head).collect() }))
    }

    async fn read(&self, request: Request<proto::ReadRequest>) -> Result<Response<proto::ReadResponse>, Status> {
        let page = self.broker.read(form::to_read(request.get_ref())?).await.map_err(|error| log_status(&error))?;
        Ok(Response::new(form::page(&page)))
    }

    async fn topics(&self, request: Request<proto::TopicsRequest>) -> Result<Response<proto::TopicsResponse>, Status> {
        let page = self.broker.topics(form::to_query(request.get_ref())?).await.map_err(|error| log_status(&error))?;
        Ok(Response::new(form::topic_page(&page)))
    }

    async fn change(&self, request: Request<proto::ChangeRequest>) -> Result<Response<proto::Head>, Status> {
        let head = self.broker.admin(form::to_change(request.get_ref())?).await.map_err(|error| log_status(&error))?;
        Ok(Response::new(form::head(&head)))
    }

    async fn sweep(&self, _: Request<proto::SweepRequest>) -> Result<Response<proto::SweepResponse>, Status> {
        let removed = self.broker.sweep().await.map_err(|error| log_status(&error))?;
        Ok(Response::new(proto::SweepResponse { removed }))
    }
}
