//! The service `Leases`.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::{Fence, Leases};
use fanfare_proto::engine as proto;
use tonic::{Request, Response, Status};

use crate::wire::refusal::lease_status;

pub(super) struct Service(pub(super) Arc<dyn Leases>);

#[tonic::async_trait]
impl proto::leases_server::Leases for Service {
    async fn acquire(
        &self,
        request: Request<proto::AcquireRequest>,
    ) -> Result<Response<proto::AcquireResponse>, Status> {
        let proto::AcquireRequest { name, holder, ttl } = request.into_inner();
        let fence = self.0.acquire(&name, &holder, Duration::from_micros(ttl)).await;
        let fence = fence.map_err(|error| lease_status(&error))?.map(Fence::get);
        Ok(Response::new(proto::AcquireResponse { fence }))
    }

    async fn renew(&self, request: Request<proto::RenewRequest>) -> Result<Response<proto::RenewResponse>, Status> {
        let proto::RenewRequest { name, fence, ttl } = request.into_inner();
        let renewed = self.0.renew(&name, Fence::new(fence), Duration::from_micros(ttl)).await;
        Ok(Response::new(proto::RenewResponse { renewed: renewed.map_err(|error| lease_status(&error))? }))
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        let proto::ReleaseRequest { name, fence } = request.into_inner();
        self.0.release(&name, Fence::new(fence)).await.map_err(|error| lease_status(&error))?;
        Ok(Response::new(proto::ReleaseResponse {}))
    }

    async fn list(
        &self,
        request: Request<proto::ListLeasesRequest>,
    ) -> Result<Response<proto::ListLeasesResponse>, Status> {
        let leases = self.0.list(&request.get_ref().prefix).await.map_err(|error| lease_status(&error))?;
        let leases = leases.into_iter().map(|lease| proto::Lease {
            name: lease.name,
            holder: lease.holder,
            fence: lease.fence.get(),
        });
        Ok(Response::new(proto::ListLeasesResponse { leases: leases.collect() }))
    }
}
