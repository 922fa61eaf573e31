//! The seam between the bus and an engine.

use std::sync::Arc;

use fanfare_history::{
    Admin, Announce, Append, Appended, Capabilities, Error, Head, Page, Read, TopicPage, TopicsQuery,
};
use fanfare_model::{Position, TopicKey};
use futures_util::future::BoxFuture;

/// Who hears what a broker carries: the hub. The calls may come from any thread; none blocks.
///
/// For an engine within the process, [`Announce`] is all there is. One that carries hints over a network says
/// with [`Receive::lost`] that it may have missed some.
pub trait Receive: Announce {
    /// There is an event at `last` that was not carried with the news (it is too large): whoever listens to the topic must
    /// read it.
    fn heard(&self, topic: &TopicKey, last: Position);

    /// Hints may have been lost (the connection to the engine was re-made): compare heads at once.
    fn lost(&self);
}

/// The only door through which anything is published, and the source of everything that is delivered.
///
/// A broker appends (order, idempotency, durability: the contract of [`fanfare_history::Log`]) and announces
/// every stored event to the [`Receive`] it was made with, on every node that has the topic attached, the
/// publisher's own node included and by the same road. An announcement is a hint: it may be lost, doubled or
/// come out of order unless the broker is [`Broker::lossless`]; its `prev` lets the hub notice and read the log.
pub trait Broker: Send + Sync + 'static {
    /// What the engine can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether announcements of attached topics arrive each exactly once and in order, so that heads need not
    /// be compared.
    fn lossless(&self) -> bool;

    /// Appends and announces a batch; answers per item, in order. Not undone by dropping the future. Events of topics that
    /// keep nothing are ordered and announced, at most once, and not stored. An append that asks for more durability than
    /// the engine has gets the most there is (a configuration that does is refused at start: [`crate::Policies::check`]).
    /// If the engine cannot be reached it fails within seconds.
    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>>;

    /// Begins to announce these topics. When it returns, every later event is announced, so that reading the
    /// head afterwards misses nothing. When a connection to the engine was re-made, the broker attaches again by itself
    /// what was attached, and then calls [`Receive::lost`].
    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends announcing these topics. Must not block: it is called under a lock. Calls of this and of [`Broker::attach`]
    /// take effect in their order.
    fn detach(&self, topics: Vec<TopicKey>);

    /// The heads of `topics`, in their order. Never behind an event that was announced to this node or acknowledged to
    /// anybody before the call: a head that is shows that the engine has lost its tail, and readers are told (gap `fork`).
    /// Those of topics that keep nothing hold no events.
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>>;

    /// Reads a stretch of one topic. May lag behind an announcement; whoever fills a hole tries again.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>>;

    /// Lists topics.
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>>;

    /// Changes a log.
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>>;

    /// Removes what retention no longer keeps; returns the number of events removed.
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// Stores everything that waits and refuses more.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// A broker as the bus holds it.
pub(crate) type SharedBroker = Arc<dyn Broker>;
