//! The hub's leases.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::{Error, Fence, Lease, Leases, check_holder, check_name};
use fanfare_proto::engine as proto;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::link::Link;
use crate::metrics::Service;
use crate::wire::micros;
use crate::wire::refusal::lease_error;

pub(super) struct RemoteLeases(pub(super) Arc<Link>);

impl Leases for RemoteLeases {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Fence>, Error>> {
        async move {
            check_name(name)?;
            check_holder(holder)?;
            let request = proto::AcquireRequest { name: name.to_owned(), holder: holder.to_owned(), ttl: micros(ttl) };
            let answer = self.0.answer(Service::Leases, self.0.leases().acquire(request)).await;
            Ok(answer.map_err(lease_error)?.fence.map(Fence::new))
        }
        .boxed()
    }

    fn renew<'a>(&'a self, name: &'a str, fence: Fence, ttl: Duration) -> BoxFuture<'a, Result<bool, Error>> {
        async move {
            let request = proto::RenewRequest { name: name.to_owned(), fence: fence.get(), ttl: micros(ttl) };
            let answer = self.0.answer(Service::Leases, self.0.leases().renew(request)).await;
            Ok(answer.map_err(lease_error)?.renewed)
        }
        .boxed()
    }

    fn release<'a>(&'a self, name: &'a str, fence: Fence) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let request = proto::ReleaseRequest { name: name.to_owned(), fence: fence.get() };
            self.0.answer(Service::Leases, self.0.leases().release(request)).await.map_err(lease_error)?;
            Ok(())
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Lease>, Error>> {
        async move {
            let request = proto::ListLeasesRequest { prefix: prefix.to_owned() };
            let answer = self.0.answer(Service::Leases, self.0.leases().list(request)).await.map_err(lease_error)?;
            let lease = |of: proto::Lease| Lease { name: of.name, holder: of.holder, fence: Fence::new(of.fence) };
            Ok(answer.leases.into_iter().map(lease).collect())
        }
        .boxed()
    }
}
