//! The seam between the bus and what carries hints between nodes.

use std::sync::Arc;

use fanfare_history::{Append, Appended, Error, Head, Reset};
use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;

/// Carries the news of what a log has stored to every node that wants it, and orders what no log keeps.
///
/// One is made with the [`crate::Receive`] of its node. What it carries are hints: they may be lost, doubled and come out
/// of order; the log is the truth. When the connection was re-made it says so ([`crate::Receive::lost`]), and attaches again
/// by itself what was attached.
pub trait Fanout: Send + Sync + 'static {
    /// Its name in configuration and messages, e.g. `redis`.
    fn name(&self) -> &'static str;

    /// Begins to carry the news of these topics to this node. When it returns, whatever is sent afterwards on any node
    /// is, unless it gets lost.
    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends that. Does not block. Calls of this and of [`Fanout::attach`] take effect in their order.
    fn detach(&self, topics: Vec<TopicKey>);

    /// Tells every node that has their topics attached, this one too, of events that were stored. Does not block (a log
    /// calls it from its writer), keeps the order of the calls as well as it can, and drops what does not fit. Of an event
    /// that is too large to be carried it only tells that it is there ([`crate::Receive::heard`]).
    fn send(&self, events: &[Arc<Event>]);

    /// Tells that a topic was purged, likewise.
    fn reset(&self, reset: &Reset);

    /// Gives events of topics that keep nothing their places, and carries them, each at most once. Of one topic they have
    /// one order for everybody: strictly increasing offsets, with `prev`, in an epoch that changes when that order is
    /// forgotten. Answers per item, in order. Not undone by dropping the future.
    fn pass(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>>;

    /// The heads of topics that keep nothing, in their order: they hold no events.
    fn passing(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>>;

    /// Sends what waits and refuses more.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}
