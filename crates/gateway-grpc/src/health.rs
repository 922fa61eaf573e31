//! The health service of gRPC (`grpc.health.v1`): serving until the node is told to stop.

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use fanfare_lifecycle::{Lifecycle, Phase};
use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::routes::SERVICES;

/// How often a node that is starting is looked at.
const LOOK: Duration = Duration::from_millis(100);

struct Life(Lifecycle);

/// Adds its routes.
pub(crate) fn add_to(router: Router, life: Lifecycle) -> Router {
    router.route_service("/grpc.health.v1.Health/{*rest}", HealthServer::new(Life(life)))
}

impl Life {
    /// The status of a service, or of the node if it has no name; `None` if there is no such service.
    fn status(&self, service: &str) -> Option<ServingStatus> {
        if !service.is_empty() && !SERVICES.contains(&service) {
            return None;
        }
        Some(if self.0.phase() == Phase::Running { ServingStatus::Serving } else { ServingStatus::NotServing })
    }

    /// Waits until the node has left its phase; `false` if nothing comes after it.
    async fn changed(life: &Lifecycle) -> bool {
        match life.phase() {
            Phase::Starting => {
                while life.phase() == Phase::Starting {
                    tokio::time::sleep(LOOK).await;
                }
                true
            }
            Phase::Running => {
                life.soft().cancelled().await;
                true
            }
            Phase::Draining | Phase::Stopping => false,
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Life {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status(&request.get_ref().service);
        let status = status.ok_or_else(|| Status::not_found("there is no such service"))?;
        std::future::ready(Ok(Response::new(response(status)))).await
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Ends with the node: a watcher that stayed would keep its connection from being drained.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let life = Self(self.0.clone());
        let changes = stream::unfold((life, service, true), |(life, service, first)| async move {
            if !first && !Self::changed(&life.0).await {
                return None;
            }
            let status = life.status(&service).unwrap_or(ServingStatus::ServiceUnknown);
            Some((Ok(response(status)), (life, service, false)))
        });
        let ended = stream::once(async { Err(Status::unavailable("this node is stopping")) });
        std::future::ready(Ok(Response::new(changes.chain(ended).boxed() as Self::WatchStream))).await
    }
}
