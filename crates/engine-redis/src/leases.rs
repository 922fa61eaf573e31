//! Leases: names by when they end, in the partition of the name, by the server's clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare_cluster::{Error, Fence, Lease, Leases, check_holder, check_name};
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use crate::answers;
use crate::error::Failure;
use crate::keys::Partition;
use crate::metrics::Operation;
use crate::scripts;
use crate::servers::Servers;

/// [`Leases`] on Redis. A failover that loses the latest writes may end a lease early or bring it to life again for the
/// rest of its time; the fences tell.
pub(crate) struct RedisLeases {
    pub(crate) servers: Arc<Servers>,
}

impl RedisLeases {
    fn call(&self, partition: Partition) -> Cmd {
        let keys = &self.servers.keys;
        scripts::LEASE.with(&["leases", "holders", "fence"].map(|kind| keys.key(partition, kind, b"")))
    }

    async fn ask(&self, partition: Partition, again: bool, arguments: &[&[u8]]) -> Result<Value, Failure> {
        let make = |_: &_| {
            let mut call = self.call(partition);
            for argument in arguments {
                call.arg(*argument);
            }
            vec![call]
        };
        let answer = self.servers.call(Operation::Leases, partition, again, make).await?;
        answer.into_iter().next().ok_or(Failure::Garbled("lease"))
    }

    async fn list_of(&self, partition: Partition, prefix: &str) -> Result<Vec<Lease>, Failure> {
        const GARBLED: Failure = Failure::Garbled("lease");
        let Value::Array(found) = self.ask(partition, true, &[b"list", prefix.as_bytes()]).await? else {
            return Err(GARBLED);
        };
        let lease = |found: &[Value]| {
            let [name, holding] = found else { return None };
            let (fence, holder) = answers::text(holding)?.split_once(' ')?;
            let fence = Fence::new(fence.parse().ok()?);
            Some(Lease { name: answers::text(name)?.to_owned(), holder: holder.to_owned(), fence })
        };
        found.chunks(2).map(lease).collect::<Option<_>>().ok_or(GARBLED)
    }
}

/// In whole milliseconds, not less than was asked for.
fn millis(ttl: Duration) -> String {
    ttl.as_nanos().div_ceil(1_000_000).max(1).to_string()
}

#[async_trait]
impl Leases for RedisLeases {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        check_name(name)?;
        check_holder(holder)?;
        let ttl = millis(ttl);
        let arguments = [&b"acquire"[..], name.as_bytes(), holder.as_bytes(), ttl.as_bytes()];
        // A second attempt would find the lease held by the first.
        let answer = self.ask(Partition::of(name.as_bytes()), false, &arguments).await?;
        match answers::unsigned(&answer) {
            Some(fence) => Ok(Some(Fence::new(fence))),
            None if answer == Value::Nil => Ok(None),
            None => Err(Failure::Garbled("lease").into()),
        }
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        let (fence, ttl) = (fence.get().to_string(), millis(ttl));
        let arguments = [&b"renew"[..], name.as_bytes(), fence.as_bytes(), ttl.as_bytes()];
        let answer = self.ask(Partition::of(name.as_bytes()), true, &arguments).await?;
        Ok(answer == Value::Int(1))
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        let fence = fence.get().to_string();
        let arguments = [&b"release"[..], name.as_bytes(), fence.as_bytes()];
        self.ask(Partition::of(name.as_bytes()), true, &arguments).await?;
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        let lists = Partition::all().map(|partition| self.list_of(partition, prefix));
        let mut leases: Vec<Lease> = try_join_all(lists).await?.into_iter().flatten().collect();
        leases.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(leases)
    }
}
