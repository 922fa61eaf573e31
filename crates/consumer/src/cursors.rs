//! The seam: where the progress of consumers is kept.

use async_trait::async_trait;
use fanfare_model::{Tenant, Topic};

use crate::{Error, Name, Progress};

/// One consumer of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose it is.
    pub tenant: Tenant,
    /// Which consumer.
    pub consumer: Name,
    /// Which topic.
    pub topic: Topic,
}

/// Says of a record which one it is of all that stood under its key since the engine was opened: no two are the same, also
/// when the record was removed and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

/// A change to one record.
#[derive(Debug, Clone)]
pub struct Swap {
    /// Whose.
    pub key: Key,
    /// Which record is to be there; `None`: none.
    pub expected: Option<Version>,
    /// What is to be there then; `None`: nothing.
    pub progress: Option<Progress>,
    /// Whether it must be on the disk before it is answered, if the engine has one. Otherwise it survives the process.
    pub commit: bool,
}

/// What became of a [`Swap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// It is there, as this version. (Of a removal: a version that no record has.)
    Done(Version),
    /// Another record was there than expected; nothing was changed.
    Conflict,
    /// The tenant has as many records as it may; nothing was changed.
    Full,
}

/// Which records to list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Whose.
    pub tenant: Tenant,
    /// Only of this consumer.
    pub consumer: Option<Name>,
    /// Only of this topic.
    pub topic: Option<Topic>,
    /// Only records that sort after this one, by consumer, then by topic.
    pub after: Option<(Name, Topic)>,
    /// At most so many.
    pub limit: usize,
}

/// A page of records, by consumer, then by topic.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The records.
    pub records: Vec<(Key, Progress)>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// Keeps one record for every consumer of every topic.
///
/// All that consumers do is compare-and-swap of a small record: leases, fences and redelivery are worked out above
/// ([`Progress`]), so that they are the same on every engine, and two nodes that change the same consumer cannot both
/// succeed.
///
/// **Atomicity.** Of concurrent swaps that expect the same version exactly one is done.
/// **Order.** Whatever is read after a swap was answered shows that swap or a later one.
/// **Durability.** A swap with `commit` is on the disk when it is answered; one without survives the process, if the engine
/// survives a restart at all. A later swap never survives without an earlier one.
/// **Cancellation.** Dropping a future of `swap` does not undo it.
#[async_trait]
pub trait Cursors: Send + Sync + 'static {
    /// The engine's name in configuration and messages, e.g. `embedded`.
    fn name(&self) -> &'static str;

    /// Whether its records outlive the process.
    fn survives_restart(&self) -> bool;

    /// The record under `key`.
    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error>;

    /// Changes a record if it is the expected one. A new one is refused with [`Swapped::Full`] if its tenant has
    /// [`crate::Options::consumers_max`] already.
    async fn swap(&self, swap: Swap) -> Result<Swapped, Error>;

    /// Lists records.
    async fn list(&self, query: ListQuery) -> Result<ListPage, Error>;

    /// Stores everything that waits, to the disk, and refuses more with [`Error::Closed`].
    async fn close(&self) -> Result<(), Error>;
}
