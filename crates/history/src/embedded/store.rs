//! The store: everything but the recent events, in the keyspaces of fjall.

use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_model::{Clock, Timestamp, TopicKey};
use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};
use fjall::{
    Database, Guard, Iter, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _, Snapshot,
};

use super::OpenError;
use super::fault::Fault;
use super::home::Home;
use super::ids::{self, Chunk, Filter, IdEntry, IdHash, Moves};
use super::key::{self, TopicId};
use super::life::Life;
use super::options::Options;
use super::page::Page;
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
    /// topic number, offset of the first event → [`Page`].
    pub(super) pages: Keyspace,
    /// topic number, number of the move → [`Chunk`] of event ids.
    pub(super) ids: Keyspace,
    /// time, topic number → topic: which topics the sweep is to look at from when.
    pub(super) due: Keyspace,
    /// topic number → nothing: logs that were purged and are still to be removed.
    pub(super) purged: Keyspace,
}

impl Store {
    /// Opens or makes the database.
    pub(super) fn open(home: &Home, options: &Options, clock: &Arc<dyn Clock>) -> Result<Self, OpenError> {
        let clock = Arc::clone(clock);
        let database = Database::builder(home.database())
            .cache_size(options.cache_bytes.0)
            .max_journaling_size(options.journal_bytes_max.0 / 2)
            .with_compaction_filter_factories(Arc::new(move |keyspace| {
                let expired: Arc<dyn Factory> = Arc::new(Expired(AssertUnwindSafe(Arc::clone(&clock))));
                (keyspace == "ids").then_some(expired)
            }))
            .open()
            .map_err(|error| open_error(home, error))?;
        let keyspace =
            |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(|error| open_error(home, error));
        Ok(Self {
            meta: keyspace("meta")?,
            topics: keyspace("topics")?,
            pages: keyspace("pages")?,
            ids: keyspace("ids")?,
            due: keyspace("due")?,
            purged: keyspace("purged")?,
            database,
        })
    }

    /// The record of its life; `None` if the store is new.
    pub(super) fn life(&self) -> Result<Option<Life>, Fault> {
        let Some(bytes) = self.meta.get(LIFE)? else { return Ok(None) };
        Life::decode(&bytes).map(Some).map_err(|damage| Fault::damaged("its life", damage))
    }

    /// Whether nothing was ever put into it.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.first_key_value().is_none()
    }

    /// A batch that is handed to the operating system when it is committed.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), 0).durability(Some(PersistMode::Buffer))
    }

    pub(super) fn put_life(&self, batch: &mut OwnedWriteBatch, life: &Life) {
        batch.insert(&self.meta, LIFE, life.encode());
    }

    /// Returns when everything committed is on the disk.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| Fault::Sync(Arc::new(error)))
    }

    /// What is stored of a topic.
    pub(super) fn topic(&self, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
        self.topics.get(key::topic(topic))?.map(|bytes| decode_topic(topic, &bytes)).transpose()
    }

    /// A filter of the ids there are.
    pub(super) fn filter(&self, now: Timestamp) -> Result<Filter, Fault> {
        let filter = Filter::default();
        // By the number of the move, because that is how they expire.
        let mut moves = std::collections::BTreeMap::<u64, (Timestamp, Vec<IdHash>)>::new();
        for entry in self.ids.iter() {
            let (key, value) = entry.into_inner()?;
            let Some((topic, number)) = key::read_pair(&key) else { continue };
            let chunk = Chunk::decode(topic, &value).map_err(|damage| Fault::damaged("event ids", damage))?;
            let expires = ids::expiry(&value).filter(|expires| *expires > now);
            let Some(expires) = expires else { continue };
            let (latest, ids) = moves.entry(number).or_insert((expires, Vec::new()));
            *latest = expires.max(*latest);
            ids.extend(chunk.ids().map(|(id, _)| id));
        }
        for (number, (expires, ids)) in moves {
            filter.add(number, now, expires, ids.into_iter());
        }
        Ok(filter)
    }
}

fn decode_topic(topic: &TopicKey, bytes: &[u8]) -> Result<TopicRecord, Fault> {
    TopicRecord::decode(bytes).map_err(|damage| Fault::damaged(format!("the topic {}", topic.topic), damage))
}

/// The store as it was after a move.
pub(super) struct Base {
    pub(super) store: Arc<Store>,
    snapshot: Snapshot,
}

impl Base {
    pub(super) fn now(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), snapshot: store.database.snapshot() }
    }

    pub(super) fn topic(&self, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
        self.snapshot.get(&self.store.topics, key::topic(topic))?.map(|bytes| decode_topic(topic, &bytes)).transpose()
    }

    /// The records of all topics from this key on.
    pub(super) fn topics_from(&self, key: Vec<u8>) -> Iter {
        self.snapshot.range(&self.store.topics, key..)
    }

    /// The entries of the list of due topics.
    pub(super) fn due(&self, times: RangeInclusive<[u8; 16]>) -> Iter {
        self.snapshot.range(&self.store.due, times)
    }

    /// The latest entry of an id in the chunks of these moves.
    pub(super) fn id(&self, topic: TopicId, id: IdHash, moves: Moves) -> Result<Option<IdEntry>, Fault> {
        let (begin, mut number) = (key::pair(topic, moves.first), moves.last);
        loop {
            // The last chunk that may have it; or one of an earlier move, which then tells where to look next.
            let mut before = self.snapshot.range(&self.store.ids, &begin[..]..=&key::chunk(topic, number, id)[..]);
            let Some(entry) = before.next_back() else { return Ok(None) };
            let (key, chunk) = entry.into_inner()?;
            let Some((_, found)) = key::read_pair(&key) else { return Ok(None) };
            if found == number {
                let chunk = Chunk::decode(topic, &chunk).map_err(|damage| Fault::damaged("event ids", damage))?;
                if let Some(entry) = chunk.find(id) {
                    return Ok(Some(entry));
                }
                let Some(earlier) = number.checked_sub(1) else { return Ok(None) };
                number = earlier;
            } else {
                number = found;
            }
        }
    }

    /// The offset of the first event of the page that holds `offset`, if it is in one; else of none that is later.
    pub(super) fn page_of(&self, topic: TopicId, offset: u64) -> Result<u64, Fault> {
        let before = self.snapshot.range(&self.store.pages, key::pair(topic, 0)..=key::pair(topic, offset)).next_back();
        let Some(entry) = before else { return Ok(offset) };
        Ok(key::read_pair(&entry.key()?).map_or(offset, |(_, first)| first))
    }

    /// The pages of a topic whose first event has one of these offsets.
    pub(super) fn pages(
        &self,
        topic: TopicId,
        offsets: RangeInclusive<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<Page, Fault>> {
        let keys = key::pair(topic, *offsets.start())..=key::pair(topic, *offsets.end());
        self.snapshot.range(&self.store.pages, keys).map(move |entry| read_page(topic, entry))
    }
}

fn read_page(topic: TopicId, entry: Guard) -> Result<Page, Fault> {
    let (key, value) = entry.into_inner()?;
    let (_, first) = key::read_pair(&key).unwrap_or_default();
    Page::decode(topic, first, &Bytes::from_owner(value))
        .map_err(|damage| Fault::damaged(format!("the page from event {first} of topic number {topic}"), damage))
}

/// Says of an error of fjall what the operator can do about it.
pub(super) fn open_error(home: &Home, error: fjall::Error) -> OpenError {
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

/// Drops event ids whose window is over when tables are merged, so that forgetting them costs no write. Those that
/// are still there do no harm: who looks one up compares the time.
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
        Ok(match ids::expiry(&item.value()?) {
            Some(expires) if expires < self.0 => Verdict::Remove,
            _ => Verdict::Keep,
        })
    }
}
