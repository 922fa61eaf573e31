//! The records in memory: forgotten when the process ends, like the memory log's events.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use fanfare_model::{Tenant, Topic};
use parking_lot::Mutex;

use crate::cursors::{Cursors, Key, ListPage, ListQuery, Swap, Swapped, Version};
use crate::{Error, Name, Progress};

/// [`Cursors`] in memory.
pub struct MemoryCursors {
    consumers_max: usize,
    records: Mutex<Records>,
}

/// A tenant's records, in the order of lists.
type OfTenant = BTreeMap<(Name, Topic), (Version, Progress)>;

#[derive(Default)]
struct Records {
    by_tenant: HashMap<Tenant, OfTenant>,
    version: u64,
    closed: bool,
}

impl MemoryCursors {
    /// Without a record; a tenant may have at most `consumers_max`.
    pub fn new(consumers_max: usize) -> Self {
        Self { consumers_max, records: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Records) -> T) -> Result<T, Error> {
        let mut records = self.records.lock();
        if records.closed { Err(Error::Closed) } else { Ok(act(&mut records)) }
    }
}

impl Records {
    fn get(&self, key: &Key) -> Option<(Version, Progress)> {
        self.by_tenant.get(&key.tenant)?.get(&(key.consumer.clone(), key.topic.clone())).cloned()
    }

    fn swap(&mut self, swap: Swap, consumers_max: usize) -> Swapped {
        let Swap { key, expected, progress, .. } = swap;
        let records = self.by_tenant.entry(key.tenant.clone()).or_default();
        let place = (key.consumer, key.topic);
        let swapped = if records.get(&place).map(|(version, _)| *version) != expected {
            Swapped::Conflict
        } else if expected.is_none() && progress.is_some() && records.len() >= consumers_max {
            Swapped::Full
        } else {
            self.version += 1;
            let version = Version(self.version);
            match progress {
                Some(progress) => drop(records.insert(place, (version, progress))),
                None => drop(records.remove(&place)),
            }
            Swapped::Done(version)
        };
        if records.is_empty() {
            self.by_tenant.remove(&key.tenant);
        }
        swapped
    }

    fn list(&self, query: &ListQuery) -> ListPage {
        let Some(records) = self.by_tenant.get(&query.tenant) else { return ListPage::default() };
        let begin = query.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = records
            .range((begin, Bound::Unbounded))
            .map(|((consumer, topic), (_, progress))| {
                let (tenant, consumer, topic) = (query.tenant.clone(), consumer.clone(), topic.clone());
                (Key { tenant, consumer, topic }, progress)
            })
            .filter(|(key, _)| query.matches(key));
        let records = found.by_ref().take(query.limit).map(|(key, progress)| (key, progress.clone())).collect();
        ListPage { records, more: found.next().is_some() }
    }
}

impl ListQuery {
    /// Whether a record is one of those asked for.
    pub(crate) fn matches(&self, key: &Key) -> bool {
        self.consumer.as_ref().is_none_or(|consumer| *consumer == key.consumer)
            && self.topic.as_ref().is_none_or(|topic| *topic == key.topic)
    }
}

#[async_trait]
impl Cursors for MemoryCursors {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn survives_restart(&self) -> bool {
        false
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.with(|records| records.get(key))
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.with(|records| records.swap(swap, self.consumers_max))
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.with(|records| records.list(&query))
    }

    async fn close(&self) -> Result<(), Error> {
        self.records.lock().closed = true;
        Ok(())
    }
}
