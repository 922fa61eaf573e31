//! The feeds of shards: a subject each, which has the changes in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use fanfare_cluster::Fence;
use fanfare_presence::Change;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::SHARDS;
use super::replica::Replica;
use super::state::Entry;
use crate::error::{Fault, code};
use crate::gets::{BATCH_MAX, BYTES_MAX, Get};
use crate::link::Link;
use crate::metrics::Operation;
use crate::stream;

/// How far a shard's owner is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Fed {
    fence: u64,
    position: u64,
}

/// The feeds of all shards.
pub(super) struct Feeds {
    link: Arc<Link>,
    replica: Arc<Replica>,
    /// What subjects of records begin with, the last dot included.
    fed_subject: String,
    /// Where in the feed's stream a position was found.
    places: Vec<Mutex<Places>>,
    /// Rung when something is put in a feed.
    pub(super) news: Vec<Notify>,
}

#[derive(Default)]
struct Places {
    /// Of the latest position that was told.
    told: (u64, u64),
    /// Places of positions that were told and not dealt with.
    by_position: HashMap<u64, u64>,
    /// How many changes had been dealt with when that was last looked up.
    dealt_with: u64,
}

impl Feeds {
    pub(super) fn new(link: Arc<Link>, replica: Arc<Replica>, prefix: &str) -> Self {
        Self {
            link,
            replica,
            fed_subject: format!("{prefix}.presence.fed."),
            places: (0..SHARDS).map(|_| Mutex::default()).collect(),
            news: (0..SHARDS).map(|_| Notify::new()).collect(),
        }
    }

    /// The changes after a position, as far as they follow without a hole.
    pub(super) async fn after(&self, shard: u16, after: u64, limit: usize) -> Result<Vec<(u64, Change)>, Fault> {
        // First what may not be in the feed yet: what leaves there meanwhile is in the feed by then.
        let known = self.replica.latest(shard).await?;
        let places = &self.places[usize::from(shard)];
        let (told, seq) = places.lock().told;
        let mut from = if told > 0 && told <= after { seq + 1 } else { 1 };
        let subject = self.replica.feed_subject(shard);
        let mut entries: Vec<(Option<u64>, Entry)> = Vec::new();
        loop {
            let get = Get { max_bytes: Some(BYTES_MAX), ..Get::next(&subject, from, BATCH_MAX) };
            let batch = self.link.get(self.replica.feed_stream(), &get).await?;
            let Some(last) = batch.messages.last().map(|last| last.seq) else { break };
            for stored in batch.messages {
                let entry: Entry =
                    serde_json::from_slice(&stored.payload).map_err(|error| Fault::Garbled(error.to_string()))?;
                if entry.position > after {
                    entries.push((Some(stored.seq), entry));
                }
            }
            if batch.pending == 0 || entries.len() >= limit {
                break;
            }
            from = last + 1;
        }
        entries.extend(known.state.outbox.iter().filter(|entry| entry.position > after).map(|e| (None, e.clone())));
        entries.sort_by_key(|(seq, entry)| (entry.position, seq.is_none()));
        entries.dedup_by_key(|(_, entry)| entry.position);
        let mut last = None;
        let mut places = places.lock();
        let mut found = Vec::new();
        for (seq, entry) in entries.into_iter().take(limit) {
            // A replica may lag behind: what follows a hole is told when that is filled.
            if last.is_some_and(|last| entry.prev != last) || last.is_none() && entry.prev > after && after > 0 {
                break;
            }
            last = Some(entry.position);
            if let Some(seq) = seq {
                places.told = (entry.position, seq);
                places.by_position.insert(entry.position, seq);
            }
            found.push((entry.position, entry.change));
        }
        Ok(found)
    }

    /// Waits for something after a position, but no longer than `wait`.
    pub(super) async fn wait(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<(u64, Change)>, Fault> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let news = self.news[usize::from(shard)].notified();
            tokio::pin!(news);
            // From now on, not only from when it is waited for.
            news.as_mut().enable();
            let found = self.after(shard, after, limit).await?;
            if !found.is_empty() || tokio::time::timeout_at(until, news).await.is_err() {
                return Ok(found);
            }
        }
    }

    async fn record(&self, shard: u16) -> Result<(u64, Fed), Fault> {
        let subject = format!("{}{shard}", self.fed_subject);
        match self.link.last_by_leader(self.replica.stream(), &subject).await? {
            None => Ok((0, Fed::default())),
            Some(stored) => {
                let fed = serde_json::from_slice(&stored.payload).map_err(|e| Fault::Garbled(e.to_string()))?;
                Ok((stored.seq, fed))
            }
        }
    }

    pub(super) async fn position(&self, shard: u16) -> Result<u64, Fault> {
        Ok(self.record(shard).await?.1.position)
    }

    /// Everything up to `upto` was dealt with under `fence`.
    pub(super) async fn fed(&self, shard: u16, fence: Fence, upto: u64) -> Result<bool, Fault> {
        let subject = format!("{}{shard}", self.fed_subject);
        loop {
            let (seq, before) = self.record(shard).await?;
            if fence.get() < before.fence {
                return Ok(false);
            }
            let fed = Fed { fence: fence.get(), position: before.position.max(upto) };
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, seq.to_string());
            let body = serde_json::to_vec(&fed).map_err(|error| Fault::Garbled(error.to_string()))?;
            match self.link.ask(Operation::Store, &subject, Some(&headers), body.into()).await {
                Ok(_) => break,
                Err(fault) if fault.is(code::WRONG_LAST) || fault.is(code::WRONG_LAST_NOW) => {}
                Err(fault) => return Err(fault),
            }
        }
        let place = {
            let mut places = self.places[usize::from(shard)].lock();
            let place = places.by_position.get(&upto).copied();
            places.by_position.retain(|position, _| *position > upto);
            place
        };
        // What is not removed now is with the next.
        if let Some(place) = place {
            let subject = self.replica.feed_subject(shard);
            stream::purge(&self.link, self.replica.feed_stream(), &subject, place + 1).await?;
        }
        Ok(true)
    }

    /// Whether as many as `most` changes of a shard wait.
    pub(super) async fn is_full(&self, shard: u16, number: u64, most: usize) -> Result<bool, Fault> {
        let most = most as u64;
        let places = &self.places[usize::from(shard)];
        if number.saturating_sub(places.lock().dealt_with) < most {
            return Ok(false);
        }
        let subject = self.replica.feed_subject(shard);
        let waiting = self.link.get(self.replica.feed_stream(), &Get::next(&subject, 1, 1)).await?.count();
        let dealt_with = number.saturating_sub(waiting);
        places.lock().dealt_with = dealt_with;
        Ok(waiting >= most)
    }
}
