//! Taking over the log of a topic from another engine.

use std::sync::Arc;

use fanfare_model::{Event, TopicKey};
use futures_util::future::BoxFuture;

use crate::{Error, Head, Keep};

/// A stretch of a topic's log that another engine had, to be written as it was there.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Which topic.
    pub topic: TopicKey,
    /// What is to be kept of it here. Ids of events are remembered for its window from the time of the events on.
    pub keep: Arc<Keep>,
    /// The head of the topic there. Its epoch becomes the epoch here; where it ends matters only if nothing is kept there
    /// any more, because then nothing else tells.
    pub head: Head,
    /// The next of the kept events, in their order, as they were there: epoch, offset, prev, time and id stay. At most
    /// some thousand, because they are written at once.
    pub events: Vec<Arc<Event>>,
}

impl Stretch {
    /// Whether it continues a topic that has this head, or begins one that nothing was ever appended to. Events that are
    /// there already may be repeated.
    pub fn fits(&self, known: &Head) -> bool {
        let (known, epoch) = (known.last, self.head.last.epoch);
        let belongs = |event: &Event| event.topic == self.topic && event.epoch == epoch && event.prev < event.offset;
        let is_chain = self.events.windows(2).all(|pair| pair[0].offset == pair[1].prev);
        let next = self.events.iter().find(|event| event.offset > known.offset);
        is_chain
            && self.events.iter().all(|event| belongs(event))
            && self.events.last().is_none_or(|last| last.offset <= self.head.last.offset)
            && (known.offset == 0 || known.epoch == epoch && next.is_none_or(|next| next.prev == known.offset))
    }
}

/// An engine that can take over the logs of another one, so that positions that clients hold stay good.
pub trait Restore: Send + Sync + 'static {
    /// Writes a stretch, to `committed`, and announces nothing. Stretches of one topic come one after the other; one that
    /// was written is written again without harm. A topic of which nothing is kept is restored by a stretch without
    /// events. What the stretch's policy does not keep may be trimmed at once.
    ///
    /// Fails with [`Error::Occupied`] if it does not fit ([`Stretch::fits`]).
    fn restore(&self, stretch: Stretch) -> BoxFuture<'_, Result<(), Error>>;
}
