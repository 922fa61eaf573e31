//! Leases: one message each, which the servers remove when its time is over.
//!
//! A lease is the only message of its subject. Taking it needs the subject to be empty; the place of the message in the
//! stream is the fence, so fences of all names come from one counter. Renewing replaces the message, if it is still the
//! one that the holder put there, and names the fence in a header; releasing deletes exactly that message.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_trait::async_trait;
use fanfare_cluster::{Error, Fence, Lease, Leases, check_holder, check_name};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, code};
use crate::gets::{BATCH_MAX, FENCE, Get, Stored};
use crate::life::Stream;
use crate::link::Link;
use crate::metrics::Operation;
use crate::options::Options;
use crate::stream::{self, Ack, Wanted};

/// The header that says how long the servers keep a message.
const TTL: &str = "Nats-TTL";

/// [`Leases`] in a stream.
pub(crate) struct NatsLeases {
    link: Arc<Link>,
    stream: String,
    /// What subjects begin with, the last dot included.
    subject: String,
}

/// What a lease's message says.
#[derive(Serialize, Deserialize)]
struct Record {
    holder: String,
    ttl_seconds: u64,
}

impl NatsLeases {
    pub(crate) async fn open(link: Arc<Link>, options: &Options) -> Result<Arc<Self>, crate::Error> {
        let (stream, subject) = (format!("{}-leases", options.prefix), format!("{}.lease.", options.prefix));
        let records = Wanted::records(stream.clone(), format!("{subject}>"), options.replicas);
        Stream::open(&link, Wanted { has_ttl: true, ..records }).await?;
        Ok(Arc::new(Self { link, stream, subject }))
    }

    /// `node/7` is `node.7`, so that what is below `node/` can be asked for.
    fn subject_of(&self, name: &str) -> String {
        match name.split_once('/') {
            Some((group, rest)) if !group.is_empty() && !rest.is_empty() => format!("{}{group}.{rest}", self.subject),
            _ => format!("{}=.{name}", self.subject),
        }
    }

    fn name_of<'a>(&self, subject: &'a str) -> Option<std::borrow::Cow<'a, str>> {
        let (group, rest) = subject.strip_prefix(&self.subject)?.split_once('.')?;
        Some(if group == "=" { rest.into() } else { format!("{group}/{rest}").into() })
    }

    /// Puts a lease's message there if `expected` is the last of its subject. `None` if it is not.
    async fn put(
        &self,
        subject: &str,
        record: &Record,
        expected: u64,
        fence: Option<Fence>,
    ) -> Result<Option<u64>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        // Should the answer be lost, the same is asked again, and done once.
        headers.insert(NATS_MESSAGE_ID, self.link.client.new_inbox().as_str());
        headers.insert(TTL, format!("{}s", record.ttl_seconds));
        if let Some(fence) = fence {
            headers.insert(FENCE, fence.to_string());
        }
        let body = serde_json::to_vec(record).map_err(|error| Fault::Garbled(error.to_string()))?;
        match self.link.ask(Operation::Store, subject, Some(&headers), body.into()).await {
            Ok(answer) => {
                let ack: Ack = serde_json::from_value(answer).map_err(|error| Fault::Garbled(error.to_string()))?;
                Ok(Some(ack.seq))
            }
            Err(fault) if fault.is(code::WRONG_LAST) || fault.is(code::WRONG_LAST_NOW) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The message of a holding that has not ended.
    async fn held(&self, subject: &str, fence: Fence) -> Result<Option<(Stored, Record)>, Fault> {
        let found = self.link.last_by_leader(&self.stream, subject).await?;
        let Some((lease, stored, record)) = found.and_then(|stored| self.read(stored)) else { return Ok(None) };
        Ok((lease.fence == fence).then_some((stored, record)))
    }

    /// The lease of a message, unless it has ended.
    fn read(&self, stored: Stored) -> Option<(Lease, Stored, Record)> {
        let record: Record = serde_json::from_slice(&stored.payload).ok()?;
        let until = stored.time.plus(Duration::from_secs(record.ttl_seconds));
        // The servers take a moment to remove what has ended.
        if stored.is_marker || self.link.server_time().is_some_and(|now| now >= until) {
            return None;
        }
        let fence = Fence::new(stored.fence.unwrap_or(stored.seq));
        let name = self.name_of(&stored.subject)?.into_owned();
        Some((Lease { name, holder: record.holder.clone(), fence }, stored, record))
    }
}

/// Servers count whole seconds.
fn seconds(ttl: Duration) -> u64 {
    (ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(1)
}

#[async_trait]
impl Leases for NatsLeases {
    fn name(&self) -> &'static str {
        "nats"
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>, Error> {
        check_name(name)?;
        check_holder(holder)?;
        let record = Record { holder: holder.to_owned(), ttl_seconds: seconds(ttl) };
        let placed = self.put(&self.subject_of(name), &record, 0, None).await?;
        Ok(placed.map(Fence::new))
    }

    async fn renew(&self, name: &str, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        check_name(name)?;
        let subject = self.subject_of(name);
        let Some((stored, record)) = self.held(&subject, fence).await? else { return Ok(false) };
        let record = Record { ttl_seconds: seconds(ttl), ..record };
        Ok(self.put(&subject, &record, stored.seq, Some(fence)).await?.is_some())
    }

    async fn release(&self, name: &str, fence: Fence) -> Result<(), Error> {
        check_name(name)?;
        if let Some((stored, _)) = self.held(&self.subject_of(name), fence).await? {
            stream::delete(&self.link, &self.stream, stored.seq).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Lease>, Error> {
        let group = prefix.split_once('/').map(|(group, _)| group).filter(|group| !group.is_empty());
        let filter = group.map_or_else(|| format!("{}>", self.subject), |group| format!("{}{group}.>", self.subject));
        let mut found = Vec::new();
        let mut from = 1;
        loop {
            let batch = self.link.get(&self.stream, &Get::next(&filter, from, BATCH_MAX)).await?;
            let Some(last) = batch.messages.last().map(|last| last.seq) else { break };
            let leases = batch.messages.into_iter().filter_map(|stored| self.read(stored));
            found.extend(leases.map(|(lease, ..)| lease).filter(|lease| lease.name.starts_with(prefix)));
            if batch.pending == 0 {
                break;
            }
            from = last + 1;
        }
        // One that was renewed while it was listed comes twice.
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        Ok(found)
    }
}
