//! Reads of the log: the same one, asked for by many at once, is made once.
//!
//! Thousands who come back to a topic want its pages in the same moment, and an engine over a network would have thousands
//! of equal questions in its queue. What an asker gets is never older than its question: who asks while the log is being
//! read waits for the next read, together with all who ask meanwhile.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use fanfare_history::{Error, Page, Read};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use crate::broker::SharedBroker;

/// A read that is under way, driven by whoever of its askers is polled: one that does not get round to it holds nobody up.
type Flight = Shared<BoxFuture<'static, Result<Arc<Page>, Arc<Error>>>>;

/// The reads that somebody waits for.
#[derive(Default)]
pub(crate) struct Reads {
    wanted: Mutex<HashMap<Read, Wanted>>,
}

/// One question.
#[derive(Default)]
struct Wanted {
    askers: usize,
    under_way: Option<Flight>,
    /// Begins when the one under way is over.
    next: Option<Flight>,
}

impl Reads {
    /// Reads from `broker`, after the call and at most one other read of the same. If that one fails, so does this: to try
    /// again for all who waited would take the engine's patience once more.
    pub(crate) async fn read(&self, broker: &SharedBroker, read: Read) -> Result<Arc<Page>, Error> {
        let (_asker, flight) = self.join(broker, read);
        flight.await.map_err(|error| match *error {
            Error::Overloaded => Error::Overloaded,
            Error::Closed => Error::Closed,
            _ => Error::Unavailable(Box::new(error)),
        })
    }

    fn join(&self, broker: &SharedBroker, read: Read) -> (Asker<'_>, Flight) {
        let mut all = self.wanted.lock();
        let wanted = all.entry(read.clone()).or_default();
        wanted.askers += 1;
        while wanted.under_way.as_ref().is_some_and(|flight| flight.peek().is_some()) {
            // It is over, so the next may have begun.
            wanted.under_way = wanted.next.take();
        }
        let flight = match &wanted.under_way {
            None => wanted.under_way.insert(fly(Arc::clone(broker), read.clone(), None)),
            Some(before) => {
                let before = before.clone();
                wanted.next.get_or_insert_with(|| fly(Arc::clone(broker), read.clone(), Some(before)))
            }
        };
        let flight = flight.clone();
        drop(all);
        (Asker { reads: self, read }, flight)
    }
}

fn fly(broker: SharedBroker, read: Read, before: Option<Flight>) -> Flight {
    let flight = async move {
        if let Some(before) = before {
            before.await?;
        }
        broker.read(read).await.map(Arc::new).map_err(Arc::new)
    };
    flight.boxed().shared()
}

/// Somebody who waits for a read. With the last of them it is forgotten.
struct Asker<'a> {
    reads: &'a Reads,
    read: Read,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        let mut all = self.reads.wanted.lock();
        let Entry::Occupied(mut wanted) = all.entry(self.read.clone()) else { return };
        wanted.get_mut().askers -= 1;
        let forgotten = (wanted.get().askers == 0).then(|| wanted.remove());
        // A page is freed with it.
        drop(all);
        drop(forgotten);
    }
}
