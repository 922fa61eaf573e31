//! What fjall keeps: one keyspace, tenant NUL consumer NUL topic → record.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;

use fanfare_model::{Tenant, Topic};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{OpenError, codec};
use crate::cursors::{Key, ListPage, ListQuery, Version};
use crate::{Name, Options, Progress};

/// The least that fjall takes; a consumer's record has some 50 bytes, and old ones are overwritten.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// What waits in memory to be sorted into the store.
const MEMTABLE_BYTES_MAX: u64 = 4 << 20;

/// The store, open.
pub(super) struct Store {
    path: PathBuf,
    database: Database,
    records: Keyspace,
    /// How many records each tenant has.
    pub(super) by_tenant: HashMap<Tenant, usize>,
    /// The version of the latest record.
    pub(super) version: u64,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Store(#[from] fjall::Error),
    #[error("the record of {0} cannot be read")]
    Damaged(String),
}

impl Store {
    pub(super) fn open(options: &Options) -> Result<Self, OpenError> {
        let path = options.path.clone();
        let failed = |error: fjall::Error| match error {
            fjall::Error::Locked => OpenError::InUse { path: path.clone() },
            source => OpenError::Unusable { path: path.clone(), source: source.into() },
        };
        let database = Database::builder(&path)
            .cache_size(options.cache_bytes.0)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
        let records = database.keyspace("records", create).map_err(failed)?;
        let mut store = Self { path: path.clone(), database, records, by_tenant: HashMap::new(), version: 0 };
        store.count().map_err(|fault| match fault {
            Fault::Store(error) => failed(error),
            Fault::Damaged(_) => OpenError::Damaged { path: path.clone(), what: fault.to_string() },
        })?;
        Ok(store)
    }

    /// Looks at every record once, so that a damaged one is found now.
    fn count(&mut self) -> Result<(), Fault> {
        for entry in self.records.iter() {
            let (key, value) = entry.into_inner()?;
            let (key, version, _) = read(&key, &value)?;
            *self.by_tenant.entry(key.tenant).or_default() += 1;
            self.version = self.version.max(version.0);
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Fault> {
        let key = write_key(key);
        let Some(value) = self.records.get(&key)? else { return Ok(None) };
        read(&key, &value).map(|(_, version, progress)| Some((version, progress)))
    }

    /// Puts records in place, all or none; returns when they survive the process, or are on the disk.
    pub(super) fn put(&self, records: &HashMap<Key, Option<(Version, Progress)>>, commit: bool) -> Result<(), Fault> {
        let mode = if commit { PersistMode::SyncAll } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, record) in records {
            match record {
                Some((version, progress)) => {
                    batch.insert(&self.records, write_key(key), codec::encode(*version, progress));
                }
                None => batch.remove(&self.records, write_key(key)),
            }
        }
        Ok(batch.commit()?)
    }

    pub(super) fn sync(&self) -> Result<(), Fault> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<ListPage, Fault> {
        let prefix = [query.tenant.as_str().as_bytes(), b"\0"].concat();
        let begin = match &query.after {
            None => Bound::Included(prefix.clone()),
            Some((consumer, topic)) => {
                let (tenant, consumer, topic) = (query.tenant.clone(), consumer.clone(), topic.clone());
                Bound::Excluded(write_key(&Key { tenant, consumer, topic }))
            }
        };
        let mut page = ListPage::default();
        for entry in self.records.range::<Vec<u8>, _>((begin, Bound::Unbounded)) {
            let (key, value) = entry.into_inner()?;
            if !key.starts_with(&prefix) {
                break;
            }
            let (key, _, progress) = read(&key, &value)?;
            if !query.matches(&key) {
                continue;
            }
            if page.records.len() == query.limit {
                page.more = true;
                break;
            }
            page.records.push((key, progress));
        }
        Ok(page)
    }
}

/// No part has a NUL, so that keys sort by tenant, consumer and topic.
fn write_key(key: &Key) -> Vec<u8> {
    [key.tenant.as_str(), key.consumer.as_str(), key.topic.as_str()].join("\0").into_bytes()
}

fn read(key: &[u8], value: &[u8]) -> Result<(Key, Version, Progress), Fault> {
    let damaged = || Fault::Damaged(String::from_utf8_lossy(key).replace('\0', " / "));
    let key = read_key(key).ok_or_else(damaged)?;
    let (version, progress) = codec::decode(value).ok_or_else(damaged)?;
    Ok((key, version, progress))
}

fn read_key(key: &[u8]) -> Option<Key> {
    let mut parts = std::str::from_utf8(key).ok()?.split('\0');
    Some(Key {
        tenant: Tenant::new(parts.next()?).ok()?,
        consumer: Name::new(parts.next()?).ok()?,
        topic: Topic::new(parts.next()?).ok()?,
    })
}
