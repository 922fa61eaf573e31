//! The keyspaces of the store, and a consistent view of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use fanfare_model::{Clock, Epoch, Timestamp, TopicKey};
use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _, Snapshot};

use super::OpenError;
use super::dedup::DedupEntry;
use super::fault::Fault;
use super::home::Home;
use super::key;
use super::life::{Life, boot_now};
use super::options::Options;
use super::topic::TopicRecord;

/// The name of the only entry of `meta`.
const LIFE: &str = "life";

/// The store, open.
pub(super) struct Store {
    database: Database,
    /// `life` → [`Life`].
    meta: Keyspace,
    /// tenant, topic → [`TopicRecord`].
    pub(super) topics: Keyspace,
    /// topic number, offset → event.
    pub(super) log: Keyspace,
    /// topic number, event id → [`DedupEntry`].
    pub(super) dedup: Keyspace,
    /// time, topic number → topic: which topics the sweep is to look at from when.
    pub(super) due: Keyspace,
    /// topic number → nothing: logs that were purged and are still to be removed.
    pub(super) purged: Keyspace,
    #[cfg(test)]
    pub(super) fail_sync: std::sync::atomic::AtomicBool,
}

impl Store {
    /// Opens or makes the database, and begins a new run.
    pub(super) fn open(
        home: &Home,
        options: &Options,
        clock: &Arc<dyn Clock>,
        lost_machine: bool,
    ) -> Result<(Self, Life), OpenError> {
        let store = Self::open_database(home, options, clock)?;
        let found = store.meta.get(LIFE).map_err(|error| open_error(home, error))?;
        let boot = boot_now();
        let life = match found {
            Some(bytes) => Life::decode(&bytes)
                .map_err(|damage| home.corrupt("the record of its life", Some(Box::new(damage))))?
                .resume(boot, lost_machine),
            None if store.topics.first_key_value().is_none() => Life::new(boot),
            None => return Err(home.corrupt("the record of its life is missing", None)),
        };
        let mut batch = store.batch(1);
        store.put_life(&mut batch, &life);
        batch.commit().and_then(|()| store.database.persist(PersistMode::SyncAll)).map_err(|e| open_error(home, e))?;
        Ok((store, life))
    }

    fn open_database(home: &Home, options: &Options, clock: &Arc<dyn Clock>) -> Result<Self, OpenError> {
        let clock = Arc::clone(clock);
        let database = Database::builder(home.database())
            .cache_size(options.cache_bytes.0)
            .max_journaling_size(options.journal_bytes_max.0)
            .with_compaction_filter_factories(Arc::new(move |keyspace| {
                let expired: Arc<dyn Factory> = Arc::new(Expired(AssertUnwindSafe(Arc::clone(&clock))));
                (keyspace == "dedup").then_some(expired)
            }))
            .open()
            .map_err(|error| open_error(home, error))?;
        let keyspace =
            |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(|error| open_error(home, error));
        Ok(Self {
            meta: keyspace("meta")?,
            topics: keyspace("topics")?,
            log: keyspace("log")?,
            dedup: keyspace("dedup")?,
            due: keyspace("due")?,
            purged: keyspace("purged")?,
            database,
            #[cfg(test)]
            fail_sync: std::sync::atomic::AtomicBool::new(false),
        })
    }

    /// A batch that is handed to the operating system when it is committed.
    pub(super) fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), capacity).durability(Some(PersistMode::Buffer))
    }

    pub(super) fn put_life(&self, batch: &mut OwnedWriteBatch, life: &Life) {
        batch.insert(&self.meta, LIFE, life.encode());
    }

    pub(super) fn put_topic(&self, batch: &mut OwnedWriteBatch, topic: &TopicKey, record: &TopicRecord) {
        batch.insert(&self.topics, key::topic(topic), record.encode());
    }

    /// Returns when everything committed is on the disk.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        #[cfg(test)]
        if self.fail_sync.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Fault::Sync(Arc::new(fjall::Error::Poisoned)));
        }
        self.database.persist(PersistMode::SyncData).map_err(|error| Fault::Sync(Arc::new(error)))
    }

    /// As [`Store::sync`], with everything about the files as well.
    pub(super) fn sync_all(&self) -> Result<(), Fault> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| Fault::Sync(Arc::new(error)))
    }

    /// What is stored of a topic, as the writer sees it.
    pub(super) fn topic(&self, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
        self.topics.get(key::topic(topic))?.map(|bytes| decode_topic(topic, &bytes)).transpose()
    }

    pub(super) fn dedup_entry(&self, key: &[u8]) -> Result<Option<DedupEntry>, Fault> {
        let Some(bytes) = self.dedup.get(key)? else { return Ok(None) };
        DedupEntry::decode(&bytes).map(Some).map_err(|damage| Fault::damaged("an event id", damage))
    }
}

fn decode_topic(topic: &TopicKey, bytes: &[u8]) -> Result<TopicRecord, Fault> {
    TopicRecord::decode(bytes).map_err(|damage| Fault::damaged(format!("the topic {}", topic.topic), damage))
}

/// Everything that was stored and confirmed at one moment. Readers see nothing else: an event that is written
/// but not yet on the disk is not there for them.
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    pub(super) store: Arc<Store>,
    /// The epoch of topics that have no record.
    pub(super) epoch: Epoch,
}

impl View {
    pub(super) fn now(store: &Arc<Store>, life: &Life) -> Self {
        Self { snapshot: store.database.snapshot(), store: Arc::clone(store), epoch: life.epoch }
    }

    pub(super) fn topic(&self, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
        self.snapshot.get(&self.store.topics, key::topic(topic))?.map(|bytes| decode_topic(topic, &bytes)).transpose()
    }
}

/// Says of an error of fjall what the operator can do about it.
fn open_error(home: &Home, error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Locked => OpenError::InUse { path: home.path().to_owned() },
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) if !is_about_content(&source) => {
            home.not_writable(source)
        }
        fjall::Error::InvalidVersion(version) => {
            home.corrupt(format!("its database has an unknown version ({version:?})"), None)
        }
        error => home.corrupt("its database cannot be read", Some(Box::new(error))),
    }
}

/// Whether the file could be read but is not what was expected.
fn is_about_content(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
    )
}

/// Drops event ids whose window is over when tables are merged, so that forgetting them costs no write. One
/// that is still there does no harm: who looks it up compares the time.
struct Expired(AssertUnwindSafe<Arc<dyn Clock>>);

struct ExpiredAt(Timestamp);

impl Factory for Expired {
    fn name(&self) -> &'static str {
        "expired event ids"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(ExpiredAt(self.0.now()))
    }
}

impl CompactionFilter for ExpiredAt {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        Ok(match DedupEntry::decode(&item.value()?) {
            Ok(entry) if entry.expires < self.0 => Verdict::Remove,
            _ => Verdict::Keep,
        })
    }
}
