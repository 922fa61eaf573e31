//! The progress of consumers: the records of a tenant lie in one partition, because they are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Name, Progress, Swap, Swapped, Version};
use fanfare_model::{Tenant, Topic};
use redis::Value;

use crate::answers;
use crate::error::Failure;
use crate::keys::{Partition, joined};
use crate::metrics::Operation;
use crate::scripts;
use crate::servers::Servers;

/// [`Cursors`] on Redis.
pub(crate) struct RedisCursors {
    servers: Arc<Servers>,
    consumers_max: usize,
    closed: AtomicBool,
}

impl RedisCursors {
    pub(crate) fn new(servers: Arc<Servers>, consumers_max: usize) -> Self {
        Self { servers, consumers_max, closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    fn keys(&self, tenant: &Tenant) -> (Partition, [Vec<u8>; 3]) {
        let name = tenant.as_str().as_bytes();
        let partition = Partition::of(name);
        (partition, ["cursors", "consumers", "versions"].map(|kind| self.servers.keys.key(partition, kind, name)))
    }
}

fn name(key: &Key) -> Vec<u8> {
    joined(&[key.consumer.as_str(), key.topic.as_str()])
}

const GARBLED: Failure = Failure::Garbled("cursors");

/// `version record`.
fn read(value: &Value) -> Option<(Version, Progress)> {
    let bytes = answers::bytes(value)?;
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let version = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    Some((Version(version), Progress::from_json(&bytes[space + 1..])?))
}

/// The key of a name that was stored.
fn key_of(tenant: &Tenant, name: &Value) -> Option<Key> {
    let (consumer, topic) = answers::text(name)?.split_once('\0')?;
    Some(Key { tenant: tenant.clone(), consumer: Name::new(consumer).ok()?, topic: Topic::from_stored(topic).ok()? })
}

#[async_trait]
impl Cursors for RedisCursors {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn survives_restart(&self) -> bool {
        true
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.check_open()?;
        let (partition, keys) = self.keys(&key.tenant);
        let name = name(key);
        let make = |_: &_| {
            let mut get = redis::cmd("HGET");
            get.arg(&keys[0]).arg(&name);
            vec![get]
        };
        let answer = self.servers.call(Operation::Cursors, partition, true, make).await?;
        match answer.first() {
            Some(Value::Nil) => Ok(None),
            Some(value) => Ok(Some(read(value).ok_or(GARBLED)?)),
            None => Err(GARBLED.into()),
        }
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.check_open()?;
        let (partition, keys) = self.keys(&swap.key.tenant);
        let name = name(&swap.key);
        let expected = swap.expected.map_or_else(String::new, |version| version.0.to_string());
        let progress = swap.progress.as_ref().map_or_else(String::new, Progress::to_json);
        let make = |_: &_| {
            let mut call = scripts::CURSOR_SWAP.with(&keys);
            call.arg(&name).arg(&expected).arg(&progress).arg(self.consumers_max);
            vec![call]
        };
        // A second attempt would find what the first has put there.
        let answer = self.servers.call(Operation::Cursors, partition, false, make).await?;
        match answer.first().and_then(answers::number) {
            Some(-1) => Ok(Swapped::Conflict),
            Some(-2) => Ok(Swapped::Full),
            Some(version) => Ok(Swapped::Done(Version(u64::try_from(version).unwrap_or(0)))),
            None => Err(GARBLED.into()),
        }
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.check_open()?;
        let (partition, keys) = self.keys(&query.tenant);
        // Names are `consumer \0 topic`: those of one consumer lie between its name with a 0 and its name with a 1.
        let (low, high) = match &query.consumer {
            None => (b"-".to_vec(), b"+".to_vec()),
            Some(consumer) => {
                let consumer = consumer.as_str().as_bytes();
                ([b"[", consumer, b"\x00"].concat(), [b"(", consumer, b"\x01"].concat())
            }
        };
        let after = query.after.as_ref().map(|(consumer, topic)| joined(&[consumer.as_str(), topic.as_str()]));
        let from = match after {
            Some(after) if low == b"-" || after[..] > low[1..] => [b"(", &after[..]].concat(),
            _ => low,
        };
        let ending = query.topic.as_ref().map_or_else(Vec::new, |topic| [b"\x00", topic.as_str().as_bytes()].concat());
        let make = |_: &_| {
            let mut call = scripts::CURSOR_LIST.with(&keys[..2]);
            call.arg(&from).arg(&high).arg(&ending).arg(query.limit + 1);
            vec![call]
        };
        let answer = self.servers.call(Operation::Cursors, partition, true, make).await?;
        let Some(Value::Array(found)) = answer.first() else { return Err(GARBLED.into()) };
        let record = |found: &[Value]| {
            let [name, record] = found else { return None };
            Some((key_of(&query.tenant, name)?, read(record)?.1))
        };
        let records: Option<Vec<_>> = found.chunks(2).map(record).collect();
        let mut records = records.ok_or(GARBLED)?;
        let more = records.len() > query.limit;
        records.truncate(query.limit);
        Ok(ListPage { records, more })
    }

    async fn close(&self) -> Result<(), Error> {
        // Nothing waits here: what was answered is at the server.
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}
