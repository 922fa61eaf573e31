//! The seam: [`Log`] and the values that cross it.

use std::sync::Arc;

use fanfare_model::{Draft, Epoch, Event, Position, Tenant, Timestamp, Topic, TopicKey};
use futures_util::future::BoxFuture;

use crate::{Capabilities, Error, Keep};

/// One event to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where.
    pub topic: TopicKey,
    /// What.
    pub draft: Draft,
    /// What is kept of that topic, and when to acknowledge.
    pub keep: Arc<Keep>,
}

/// One event that has its place.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Where the event is: for a duplicate, where it was stored first.
    pub position: Position,
    /// When it was appended (the first time).
    pub time: Timestamp,
    /// Whether the same id had been appended within the window, so that nothing was stored now.
    pub duplicate: bool,
}

/// The end of a topic's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the latest event ever appended in this epoch; offset 0 if there was none.
    pub last: Position,
    /// Offset of the oldest event that is still kept. `last.offset + 1` if none is.
    pub first: u64,
    /// How many events are kept.
    pub events: u64,
    /// How many bytes they count for ([`Draft::size`]).
    pub bytes: u64,
    /// Append time of the latest event; `None` if there was none.
    pub time: Option<Timestamp>,
}

impl Head {
    /// The head of a topic that nothing was ever appended to.
    pub fn empty(epoch: Epoch) -> Self {
        Self { last: Position::origin(epoch), first: 1, events: 0, bytes: 0, time: None }
    }
}

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadFrom {
    /// At this offset (inclusive), or the nearest kept one in the direction of reading.
    Offset(u64),
    /// At the first event appended at or after this time (forward), or the last one before it (backward).
    Time(Timestamp),
    /// At the oldest kept event (forward) or the newest (backward).
    End,
}

/// Which way a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From older to newer.
    Forward,
    /// From newer to older.
    Backward,
}

/// A request to read one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// Which topic.
    pub topic: TopicKey,
    /// Where to begin.
    pub from: ReadFrom,
    /// Which way.
    pub direction: Direction,
    /// At most so many events; 0 returns the head only.
    pub limit: usize,
    /// Stop after the event that brings the sum of [`Draft::size`] to this or more, so that at least one
    /// event is returned if there is one.
    pub bytes_max: usize,
    /// Events older than this are left out, as if trimmed; the log's own retention may lag behind. The head's
    /// `first` is then the first that is not too old; its counts still have all that is stored.
    pub age_max: Option<std::time::Duration>,
}

/// What a read found.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in the order of reading.
    pub events: Vec<Arc<Event>>,
    /// The head of the topic, taken no earlier than the events: `events` holds all there is between its
    /// first and last entry, and, if it was not cut short by a limit, up to the head's end.
    pub head: Head,
    /// Whether a limit stopped the read before its end.
    pub more: bool,
}

/// A change to a log that is not an append.
#[derive(Debug, Clone)]
pub enum Admin {
    /// Remove every event and begin a new epoch.
    Purge(TopicKey),
    /// Remove every event before this offset.
    TruncateBefore(TopicKey, u64),
}

/// Which topics to list.
#[derive(Debug, Clone)]
pub struct TopicsQuery {
    /// Whose.
    pub tenant: Tenant,
    /// Only topics that begin with this.
    pub prefix: String,
    /// Only topics that sort after this one: where the last page ended.
    pub after: Option<Topic>,
    /// At most so many.
    pub limit: usize,
}

/// A page of topics, sorted by name.
#[derive(Debug, Clone)]
pub struct TopicPage {
    /// The topics and the ends of their logs.
    pub topics: Vec<(Topic, Head)>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// A topic's log began a new life.
#[derive(Debug, Clone)]
pub struct Reset {
    /// Which topic.
    pub topic: TopicKey,
    /// Its new head.
    pub head: Head,
}

/// Who hears what a log has stored, in order.
///
/// The log calls this from its writer, so an implementation must be quick, must not block on anything
/// that waits for the log, and must not panic.
pub trait Announce: Send + Sync + 'static {
    /// `events` have been stored to their durability. Of one topic they come in the order of their offsets,
    /// without a hole, each exactly once; duplicates are not announced. Called before the appender is
    /// answered.
    fn stored(&self, events: &[Arc<Event>]);

    /// A topic was purged.
    fn reset(&self, reset: &Reset);
}

/// The log of every topic.
///
/// **Order.** The offsets of a topic strictly increase from 1 in the order of appends; `prev` of an event is
/// the offset of the one before it, however long ago. Within a batch the order of its items is kept.
/// **Time** of the events of a topic never decreases, whatever the clock does.
/// **Idempotency.** Of appends of the same `(topic, id)` within the window, also concurrent ones and ones in
/// the same batch, the first is stored and the others return its position. The window survives a restart if
/// the log does.
/// **Durability.** An append is answered and announced when it has reached its `keep.durability`, not before.
/// **Offsets are never used again** within an epoch, also not after a crash that lost acknowledged events of a
/// weaker durability than `committed`; after such a crash an offset that was handed out and lost is never
/// handed out again (the next `prev` jumps over it).
/// **Epoch** of a topic changes when it is purged, or when the log is lost; a topic that was never appended to
/// has a stable epoch too.
/// **Cancellation.** Dropping a future of `append` does not undo it.
pub trait Log: Send + Sync + 'static {
    /// What this engine can do.
    fn capabilities(&self) -> Capabilities;

    /// Appends a batch. Answers per item, in the order of `batch`. An item fails alone.
    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>>;

    /// The heads of `topics`, in their order.
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>>;

    /// Reads a stretch of one topic. Sees every append that was answered before the call.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>>;

    /// The topics that have ever been appended to.
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>>;

    /// Changes a log; returns the head afterwards. Announced with [`Announce::reset`] if the epoch changed.
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>>;

    /// Removes what retention no longer keeps. Called every few seconds by the owner; returns the number of
    /// events removed. Appends trim their own topic by count and size; this is for age and idle topics.
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// Stores everything that is waiting, to `committed`, and refuses further appends with [`Error::Closed`].
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}
