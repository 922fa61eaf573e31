//! Serving readers that are behind: one page of history at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use fanfare_history::{Error, Page};
use fanfare_model::{Event, Gap, GapReason, Key, Position};
use futures_util::future::BoxFuture;
use slab::Slab;

use crate::entry::Entry;
use crate::hub::Hub;
use crate::metrics;
use crate::reader::{Delivery, Mode, Room, Subscription, SubscriptionId};
use crate::tail::Tail;

/// The most bytes of events that a conflating reader may hold before it is given what it has.
const CONFLATION_BYTES_MAX: usize = 256 * 1024;

type PageFound = Result<Arc<Page>, Error>;
type PageRead = BoxFuture<'static, PageFound>;

/// The subscriptions of one reader that wait for a page, and the one page that is being read.
#[derive(Default)]
pub(crate) struct Replay {
    waiting: VecDeque<u32>,
    reading: Option<(u32, PageRead)>,
}

impl Replay {
    pub(crate) fn enqueue(&mut self, id: u32) {
        self.waiting.push_back(id);
    }

    /// Drops what is known of a subscription, because its number may be used again.
    pub(crate) fn forget(&mut self, id: u32) {
        self.waiting.retain(|waiting| *waiting != id);
        self.reading.take_if(|(reading, _)| *reading == id);
    }

    /// The next page. `Ready(None)` if no subscription is behind.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        hub: &Arc<Hub>,
        subscriptions: &Slab<Subscription>,
    ) -> Poll<Option<(u32, PageFound)>> {
        loop {
            if let Some((id, read)) = &mut self.reading {
                let page = std::task::ready!(read.as_mut().poll(cx));
                let id = *id;
                self.reading = None;
                return Poll::Ready(Some((id, page)));
            }
            let Some(id) = self.waiting.pop_front() else { return Poll::Ready(None) };
            if let Some(subscription) = subscriptions.get(id as usize) {
                let (hub, tail) = (Arc::clone(hub), Arc::clone(&subscription.tail));
                self.reading = Some((id, Box::pin(page_after(hub, tail, subscription.after))));
            }
        }
    }
}

/// The page after a position. If the log has begun anew since, the tail of the topic knows that afterwards: a reader that went
/// back to one that has not heard of it would be sent here again, and again, until the announcement came, if it came.
async fn page_after(hub: Arc<Hub>, tail: Arc<Tail>, after: Position) -> PageFound {
    let page = hub.read(hub.page(&tail.key, after.offset)).await?;
    if page.head.last.epoch != after.epoch {
        hub.compare(std::slice::from_ref(&tail)).await?;
    }
    Ok(page)
}

/// What a conflating reader has gathered: the latest event of each key.
pub(crate) struct Conflation {
    began_after: Position,
    latest: BTreeMap<u64, Arc<Event>>,
    by_key: HashMap<Option<Key>, u64>,
    bytes: usize,
    dropped: bool,
}

impl Conflation {
    pub(crate) fn new(began_after: Position) -> Self {
        Self { began_after, latest: BTreeMap::new(), by_key: HashMap::new(), bytes: 0, dropped: false }
    }

    fn fold(&mut self, event: &Arc<Event>) {
        self.bytes += event.draft.size();
        if let Some(earlier) = self.by_key.insert(event.draft.key.clone(), event.offset)
            && let Some(earlier) = self.latest.remove(&earlier)
        {
            self.bytes -= earlier.draft.size();
            self.dropped = true;
        }
        self.latest.insert(event.offset, Arc::clone(event));
    }
}

impl Subscription {
    /// Delivers (or gathers) a page that was read from after this subscription's position.
    pub(crate) fn take_page(&mut self, id: u32, page: &Page, room: &mut Room, out: &mut Vec<Delivery>) {
        if page.events.is_empty() && page.head.last.offset > self.after.offset {
            let to = page.head.last.offset;
            let gap = Gap { from: self.after.offset + 1, to, reason: GapReason::Trimmed };
            self.jump(id, gap, to, room, out);
            self.after = page.head.last;
            return;
        }
        for event in &page.events {
            if event.prev > self.after.offset {
                let gap = Gap { from: self.after.offset + 1, to: event.prev, reason: GapReason::Trimmed };
                self.jump(id, gap, event.prev, room, out);
            }
            self.after = event.position();
            if let Mode::Conflating(conflation) = &mut self.mode {
                conflation.fold(event);
                if conflation.bytes > CONFLATION_BYTES_MAX {
                    self.finish_conflation(id, room, out);
                }
            } else {
                let entry = Arc::new(Entry::new(Arc::clone(event)));
                room.spend(&entry);
                out.push(Delivery::Event { id: SubscriptionId(id), entry });
            }
        }
    }

    /// Delivers what a conflating reader has gathered, after the gap that says so, and begins anew.
    pub(crate) fn finish_conflation(&mut self, id: u32, room: &mut Room, out: &mut Vec<Delivery>) {
        let Mode::Conflating(conflation) = &mut self.mode else { return };
        let done = std::mem::replace(&mut **conflation, Conflation::new(self.after));
        if done.dropped {
            let gap = Gap { from: done.began_after.offset + 1, to: self.after.offset, reason: GapReason::Conflated };
            metrics::gap(gap.reason);
            room.deliveries += 1;
            // The cursor stays where it was: should the client be cut off among what follows, it gets all again.
            out.push(Delivery::Gap { id: SubscriptionId(id), gap, position: done.began_after });
        }
        for event in done.latest.into_values() {
            let entry = Arc::new(Entry::new(event));
            room.spend(&entry);
            out.push(Delivery::Event { id: SubscriptionId(id), entry });
        }
    }
}
