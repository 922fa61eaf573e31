//! The signs of life of nodes: a record each, which the servers remove a while after its lease has ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use fanfare_presence::Holder;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Fault, code};
use crate::link::Link;
use crate::metrics::Operation;

/// How much longer than its lease a record is kept: a node that comes a little late is told so either way.
const KEPT_LONGER_SECONDS: u64 = 60;

#[derive(Serialize, Deserialize)]
struct Record {
    lease_micros: u64,
}

/// Whose members are whose, and who is alive.
pub(super) struct Holders {
    link: Arc<Link>,
    stream: String,
    /// What subjects begin with, the last dot included.
    subject: String,
    /// Holders of this node that have given a sign of life, so that entering need not.
    known: Mutex<HashSet<Arc<str>>>,
}

impl Holders {
    pub(super) fn new(link: Arc<Link>, stream: String, prefix: &str) -> Self {
        Self { link, stream, subject: format!("{prefix}.presence.holder."), known: Mutex::default() }
    }

    async fn put(&self, holder: &str, lease: Duration, expected: Option<u64>) -> Result<bool, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", format!("{}s", lease.as_secs().saturating_add(KEPT_LONGER_SECONDS)));
        if let Some(expected) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        let record = Record { lease_micros: u64::try_from(lease.as_micros()).unwrap_or(u64::MAX) };
        let body = serde_json::to_vec(&record).map_err(|error| Fault::Garbled(error.to_string()))?;
        let subject = format!("{}{holder}", self.subject);
        match self.link.ask(Operation::Store, &subject, Some(&headers), body.into()).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.is(code::WRONG_LAST) || fault.is(code::WRONG_LAST_NOW) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Whether a holder is alive, by the servers' time.
    async fn is_alive(&self, holder: &str) -> Result<bool, Fault> {
        let found = self.link.last_by_leader(&self.stream, &format!("{}{holder}", self.subject)).await?;
        let Some(stored) = found else { return Ok(false) };
        let record: Record = serde_json::from_slice(&stored.payload).map_err(|e| Fault::Garbled(e.to_string()))?;
        let until = stored.time.plus(Duration::from_micros(record.lease_micros));
        Ok(self.link.server_time().is_none_or(|now| now < until))
    }

    /// A holder that enters somewhere before its first sign of life is alive.
    pub(super) async fn keep_alive(&self, holder: &Holder, lease: Duration) -> Result<(), Fault> {
        if self.known.lock().contains(&holder.0) {
            return Ok(());
        }
        // If there is a record, it says more.
        self.put(&holder.0, lease, Some(0)).await?;
        self.known.lock().insert(Arc::clone(&holder.0));
        Ok(())
    }

    /// A sign of life; whether there was one in time before.
    pub(super) async fn beat(&self, holder: &Holder, lease: Duration) -> Result<bool, Fault> {
        let alive = self.is_alive(&holder.0).await?;
        self.put(&holder.0, lease, None).await?;
        self.known.lock().insert(Arc::clone(&holder.0));
        Ok(alive)
    }

    /// Those whose lease has ended.
    pub(super) async fn dead(&self, suspects: impl Iterator<Item = Arc<str>>) -> Result<Vec<Arc<str>>, Fault> {
        let mut dead = Vec::new();
        for holder in suspects {
            if !self.is_alive(&holder).await? {
                self.known.lock().remove(&holder);
                dead.push(holder);
            }
        }
        Ok(dead)
    }
}
