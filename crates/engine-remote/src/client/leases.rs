//! The hub's leases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::{Error, Fence, Lease, Leases, check_holder, check_name};
use fanfare_proto::engine as proto;

use super::link::Link;
use crate::metrics::Service;
use crate::wire::micros;
use crate::wire::refusal::lease_error;

pub(super) struct RemoteLeases(pub(super) Arc<Link>);

#[async_trait]
impl Leases for RemoteLeases {
    fn name(&self) -> &'static str {
        "remote"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        check_name(name)?;
        check_holder(holder)?;
        let request = proto::AcquireRequest { name: name.to_owned(), holder: holder.to_owned(), ttl: micros(ttl) };
        let answer = self.0.answer(Service::Leases, self.0.leases().acquire(request)).await;
        Ok(answer.map_err(lease_error)?.fence.map(Fence::new))
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        let request = proto::RenewRequest { name: name.to_owned(), fence: fence.get(), ttl: micros(ttl) };
        let answer = self.0.answer(Service::Leases, self.0.leases().renew(request)).await;
        Ok(answer.map_err(lease_error)?.renewed)
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        let request = proto::ReleaseRequest { name: name.to_owned(), fence: fence.get() };
        self.0.answer(Service::Leases, self.0.leases().release(request)).await.map_err(lease_error)?;
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        let request = proto::ListLeasesRequest { prefix: prefix.to_owned() };
        let answer = self.0.answer(Service::Leases, self.0.leases().list(request)).await.map_err(lease_error)?;
        let lease = |of: proto::Lease| Lease { name: of.name, holder: of.holder, fence: Fence::new(of.fence) };
        Ok(answer.leases.into_iter().map(lease).collect())
    }
}
