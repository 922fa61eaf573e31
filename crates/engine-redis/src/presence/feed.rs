//! Feeds, and who waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_presence::Change;
use parking_lot::Mutex;
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{GARBLED, RedisPresence};
use crate::answers;
use crate::error::Failure;
use crate::keys::{PARTITIONS, Partition};
use crate::servers::{Address, Link, Servers};

/// Bits of a position that are the number within its millisecond. A million changes of one shard in a millisecond are
/// more than a server can do in a second.
const NUMBER_BITS: u32 = 20;

/// The position of an entry: `milliseconds-number`.
pub(super) fn position(id: &str) -> Option<u64> {
    let (ms, number) = id.split_once('-')?;
    let (ms, number): (u64, u64) = (ms.parse().ok()?, number.parse().ok()?);
    (number < 1 << NUMBER_BITS).then_some(ms << NUMBER_BITS | number)
}

/// Milliseconds and number of a position.
pub(super) fn parts(position: u64) -> (u64, u64) {
    (position >> NUMBER_BITS, position & ((1 << NUMBER_BITS) - 1))
}

fn id(position: u64) -> String {
    let (ms, number) = parts(position);
    format!("{ms}-{number}")
}

/// How long the servers hold a question whether there is news: who begins to wait meanwhile is not in it.
const HELD_MS: u64 = 100;

/// One bell for each shard, and the shards that are listened for.
pub(super) struct Bells {
    by_shard: Vec<Notify>,
    /// After which position somebody waits, by shard.
    waited_for: Mutex<BTreeMap<Partition, u64>>,
    /// Somebody has begun to wait.
    begun: Notify,
}

impl Default for Bells {
    fn default() -> Self {
        let by_shard = (0..PARTITIONS).map(|_| Notify::new()).collect();
        Self { by_shard, waited_for: Mutex::default(), begun: Notify::new() }
    }
}

impl Bells {
    pub(super) fn of(&self, partition: Partition) -> &Notify {
        &self.by_shard[partition.index()]
    }

    /// Rings when another node has put something in a feed that somebody waits for here.
    pub(super) fn watch(bells: &Arc<Self>, servers: &Arc<Servers>, life: &Lifecycle, stop: &CancellationToken) {
        let (bells, servers, stop) = (Arc::clone(bells), Arc::clone(servers), stop.clone());
        life.spawn(TaskKind::Background, "wait for presence in redis", async move {
            tokio::select! {
                () = bells.listen(&servers) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn listen(&self, servers: &Servers) {
        let mut links: BTreeMap<Address, Link> = BTreeMap::new();
        loop {
            let begun = self.begun.notified();
            let mut by_address: BTreeMap<Address, Vec<(Partition, u64)>> = BTreeMap::new();
            {
                let map = Arc::clone(&servers.map().borrow());
                for (partition, after) in &*self.waited_for.lock() {
                    by_address.entry(map.of(*partition).clone()).or_default().push((*partition, *after));
                }
            }
            if by_address.is_empty() {
                begun.await;
                continue;
            }
            links.retain(|address, _| by_address.contains_key(address));
            let mut asked = Vec::with_capacity(by_address.len());
            for (address, shards) in by_address {
                let link = links.get(&address).cloned();
                asked.push(async move { (self.ask(servers, &address, link, &shards).await, address, shards) });
            }
            for (answered, address, shards) in futures_util::future::join_all(asked).await {
                match answered {
                    Ok(link) => {
                        links.insert(address, link);
                    }
                    Err(error) => {
                        tracing::debug!(error = %error, "feeds of presence cannot be waited for");
                        links.remove(&address);
                        // Who waits asks for itself, and is told what is wrong.
                        tokio::time::sleep(Duration::from_millis(HELD_MS)).await;
                        for (partition, _) in shards {
                            self.ring(partition);
                        }
                    }
                }
            }
        }
    }

    /// Asks one server whether there is news of its shards, on a connection that does nothing else.
    async fn ask(
        &self,
        servers: &Servers,
        address: &Address,
        link: Option<Link>,
        shards: &[(Partition, u64)],
    ) -> Result<Link, RedisError> {
        let link = match link {
            Some(link) => link,
            None => servers.open(address, None).await?,
        };
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(HELD_MS).arg("STREAMS");
        let keys: Vec<_> = shards.iter().map(|(partition, _)| servers.keys.key(*partition, "pfeed", b"")).collect();
        for key in &keys {
            read.arg(key);
        }
        for (_, after) in shards {
            read.arg(id(*after));
        }
        let answers = link.send(std::slice::from_ref(&read)).await?;
        let rung = |key: &Value| {
            let key = answers::bytes(key)?;
            keys.iter().position(|known| known == key).map(|at| shards[at].0)
        };
        match answers.into_iter().next() {
            Some(Value::Map(streams)) => {
                streams.iter().filter_map(|(key, _)| rung(key)).for_each(|partition| self.ring(partition));
            }
            Some(Value::ServerError(error)) => return Err(error.into()),
            _ => {}
        }
        Ok(link)
    }

    /// Who waits looks, and begins to wait again if that was not for it.
    fn ring(&self, partition: Partition) {
        self.waited_for.lock().remove(&partition);
        self.of(partition).notify_waiters();
    }

    fn wait_for(&self, partition: Partition, after: u64) {
        let mut waited_for = self.waited_for.lock();
        // Several may wait for the same; the first in the feed is news for all of them.
        let known = waited_for.entry(partition).or_insert(after);
        *known = after.min(*known);
        drop(waited_for);
        self.begun.notify_one();
    }
}

impl RedisPresence {
    pub(super) async fn read_feed(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Change)>, Failure> {
        let until = Instant::now() + wait;
        loop {
            let news = self.news(partition).notified();
            tokio::pin!(news);
            // Counts from here on: what is put there between reading and waiting rings.
            news.as_mut().enable();
            let changes = self.changes(partition, after, limit).await?;
            if !changes.is_empty() || wait.is_zero() {
                return Ok(changes);
            }
            self.bells.wait_for(partition, after);
            if timeout_at(until, news).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn changes(&self, partition: Partition, after: u64, limit: usize) -> Result<Vec<(u64, Change)>, Failure> {
        let key = self.servers.keys.key(partition, "pfeed", b"");
        let make = |_: &_| {
            let mut range = redis::cmd("XRANGE");
            range.arg(&key).arg(format!("({}", id(after))).arg("+").arg("COUNT").arg(limit);
            vec![range]
        };
        let Value::Array(entries) = self.call(partition, make).await? else { return Err(GARBLED) };
        let change = |entry: &Value| {
            let Value::Array(entry) = entry else { return None };
            let [id, Value::Array(fields)] = &entry[..] else { return None };
            let change = serde_json::from_slice(answers::bytes(fields.get(1)?)?).ok()?;
            Some((position(answers::text(id)?)?, change))
        };
        entries.iter().map(change).collect::<Option<_>>().ok_or(GARBLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ids_in_order() {
        let ids = ["1-0", "1-1", "1-1048575", "1700000000000-0", "1700000000000-7"];
        let positions: Vec<_> = ids.iter().map(|id| position(id).unwrap()).collect();
        assert!(positions.is_sorted_by(|a, b| a < b));
        assert_eq!(positions.iter().map(|position| id(*position)).collect::<Vec<_>>(), ids);
        assert_eq!(position("1-1048576"), None);
    }
}
