//! The tail of one topic: a bounded ring of its latest events, and the readers to wake.
//!
//! The rule that makes lossy engines safe (design section 4): an event joins the ring only if nothing of its
//! topic lies between it and the ring's end. Anything else is held until the hole before it has been read from
//! the log.

mod recall;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use fanfare_history::Head;
use fanfare_model::{Epoch, Event, GapReason, Position, Tag, TopicKey};
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::OnceCell;

use crate::entry::Entry;
use crate::news::News;
use crate::policy::Policy;
use state::TailState;

/// How much a ring may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingLimits {
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
}

pub(crate) struct Tail {
    pub(crate) key: TopicKey,
    pub(crate) policy: Arc<Policy>,
    /// Set once the broker announces this topic and the head is known.
    pub(crate) attached: OnceCell<()>,
    /// Held by whoever reads the log for what lies before the ring, with the time when that last failed.
    pub(crate) recalling: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    state: Mutex<TailState>,
    /// Per worker: the readers that live there.
    local: Box<[Local]>,
    /// How many readers hold this tail; it is dropped from the hub a while after the last one.
    pub(crate) readers: AtomicUsize,
}

#[derive(Default)]
struct Local {
    /// There are news that the walk has not noticed.
    news: AtomicBool,
    /// A walk is under way, or waits in the worker's inbox.
    walked: AtomicBool,
    readers: Mutex<Slab<LocalReader>>,
}

/// A reader of a tail, and what it calls the subscription.
#[derive(Clone)]
pub(crate) struct LocalReader {
    pub(crate) news: Arc<News>,
    pub(crate) subscription: u32,
}

/// What an announced event did to a tail.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Readers have something new.
    pub(crate) advanced: bool,
    /// A hole must be filled from the log, and nobody is at it yet.
    pub(crate) fill: bool,
    /// By how much the ring grew, in bytes (negative if it shrank).
    pub(crate) bytes: isize,
}

/// What is missing between a tail and its log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    /// The end of what the tail has.
    pub(crate) after: Position,
    /// The life of the tail.
    pub(crate) life: u32,
    /// The offset of the last event that was heard of.
    pub(crate) heard: u64,
}

/// What a tail has for a reader.
pub(crate) enum Taken {
    /// It has been given everything.
    All,
    /// The budget ended before the events did.
    More,
    /// The ring no longer reaches back to the reader.
    Behind { newest_prev: u64 },
    /// The log began a new life, of which the ring has what comes after `begin`.
    Reborn { reason: GapReason, life: u32, begin: Position },
}

impl Tail {
    pub(crate) fn new(key: TopicKey, policy: Arc<Policy>, workers: usize) -> Self {
        Self {
            key,
            policy,
            attached: OnceCell::new(),
            recalling: tokio::sync::Mutex::default(),
            state: Mutex::new(TailState {
                // Replaced when the head is known; nobody reads before that.
                head: Position::origin(Epoch::generate()),
                life: 0,
                life_began_because: GapReason::Epoch,
                life_began_after: 0,
                floor: 0,
                out_of_reach: 0,
                ring: VecDeque::new(),
                ring_bytes: 0,
                held: BTreeMap::new(),
                heard: 0,
                doubt: false,
                attached: false,
                filling: false,
                fresh: false,
                idle_since: Instant::now(),
            }),
            local: (0..workers).map(|_| Local::default()).collect(),
            readers: AtomicUsize::new(0),
        }
    }

    /// The head is known and everything after it is announced.
    pub(crate) fn attach(&self, head: &Head, limits: RingLimits) -> Ingested {
        let mut state = self.state.lock();
        state.head = head.last;
        state.floor = head.last.offset;
        state.attached = true;
        let mut done = Ingested::default();
        state.release_held(self.policy.history, limits, &mut done);
        done
    }

    /// Takes an announced event.
    pub(crate) fn ingest(&self, event: &Arc<Event>, limits: RingLimits) -> Ingested {
        self.state.lock().ingest(event, self.policy.history, limits)
    }

    /// Takes an event that was read from the log to close a hole, when the tail was in this life. What lies between the
    /// ring's end and it has been trimmed from the log, so the ring begins anew with it; readers before it find the gap in
    /// the log themselves.
    pub(crate) fn ingest_from_log(&self, event: &Arc<Event>, life: u32, limits: RingLimits) -> Ingested {
        let mut state = self.state.lock();
        if state.life != life {
            return Ingested::default();
        }
        let freed = if event.epoch == state.head.epoch && event.prev > state.head.offset {
            state.begin_after(event.prev)
        } else {
            0
        };
        let mut done = state.ingest(event, self.policy.history, limits);
        done.bytes -= freed.cast_signed();
        done
    }

    /// Nothing up to `head` is left in the log: the ring begins anew after it.
    pub(crate) fn skip_to(&self, head: &Head) -> Ingested {
        let mut state = self.state.lock();
        let freed = state.begin_after(head.last.offset);
        state.head = head.last;
        state.held = state.held.split_off(&(head.last.offset + 1));
        Ingested { advanced: true, fill: false, bytes: -freed.cast_signed() }
    }

    /// The log was purged.
    pub(crate) fn rebirth(&self, head: &Head, reason: GapReason, limits: RingLimits) -> Ingested {
        self.state.lock().rebirth(head, reason, self.policy.history, limits)
    }

    /// The log was found to have another epoch, or to have forked, when the tail was in this life.
    pub(crate) fn rebirth_from(&self, life: u32, head: &Head, reason: GapReason, limits: RingLimits) -> Ingested {
        let mut state = self.state.lock();
        // Another one has found it meanwhile.
        if state.life != life {
            return Ingested::default();
        }
        state.rebirth(head, reason, self.policy.history, limits)
    }

    /// The head as this tail knows it, and the life it is in.
    pub(crate) fn head(&self) -> (Position, u32) {
        let state = self.state.lock();
        (state.head, state.life)
    }

    /// Whether the ring holds everything after `offset` up to the head.
    pub(crate) fn reaches(&self, offset: u64) -> bool {
        let state = self.state.lock();
        offset >= state.floor
    }

    /// The position of the event at `offset`, if the ring can tell: `None` if it is not in the ring.
    pub(crate) fn position_at(&self, offset: u64) -> Option<Position> {
        let state = self.state.lock();
        if offset == state.head.offset {
            return Some(state.head);
        }
        state.find(offset).map(|entry| entry.event.position())
    }

    /// The offset before the last `n` events, if the ring holds that many.
    pub(crate) fn before_last(&self, n: usize) -> Option<u64> {
        let state = self.state.lock();
        match n {
            0 => Some(state.head.offset),
            n => state.ring.len().checked_sub(n).map(|first| state.ring[first].event.prev),
        }
    }

    /// Gives `give` the entries after `after` until it refuses one.
    pub(crate) fn take(&self, after: u64, life: u32, mut give: impl FnMut(&Arc<Entry>) -> bool) -> Taken {
        let state = self.state.lock();
        if life != state.life {
            // What was read back into the ring may be of the life before.
            let offset = state.floor.max(state.life_began_after);
            let begin = Position { offset, tag: Tag::NONE, ..state.head };
            return Taken::Reborn { reason: state.life_began_because, life: state.life, begin };
        }
        if after < state.floor {
            return Taken::Behind { newest_prev: state.ring.back().map_or(state.head.offset, |e| e.event.prev) };
        }
        // From the end: most readers lack the last event only.
        let fresh = state.ring.iter().rev().take_while(|entry| entry.event.offset > after).count();
        for entry in state.ring.range(state.ring.len() - fresh..) {
            if !give(entry) {
                return Taken::More;
            }
        }
        Taken::All
    }

    /// Registers a reader on a worker; it is woken from now on.
    pub(crate) fn register(&self, worker: usize, news: Arc<News>, subscription: u32) -> usize {
        self.local[worker].readers.lock().insert(LocalReader { news, subscription })
    }

    /// Ends what [`Tail::register`] began.
    pub(crate) fn unregister(&self, worker: usize, key: usize) {
        drop(self.local[worker].readers.lock().try_remove(key));
    }

    /// There are news for the readers on `worker`. Says whether a walk must be begun for them: there are readers, and
    /// no walk is under way or waiting to be.
    pub(crate) fn has_news(&self, worker: usize) -> bool {
        let local = &self.local[worker];
        if local.readers.lock().is_empty() {
            return false;
        }
        local.news.store(true, Ordering::SeqCst);
        !local.walked.swap(true, Ordering::SeqCst)
    }

    /// Whether there are news since this was last asked, and then how many places of readers there are to visit.
    pub(crate) fn news(&self, worker: usize) -> Option<usize> {
        let local = &self.local[worker];
        local.news.swap(false, Ordering::SeqCst).then(|| local.readers.lock().capacity())
    }

    /// Ends a walk of `worker`, unless there are news.
    pub(crate) fn end_walk(&self, worker: usize) -> bool {
        let local = &self.local[worker];
        local.walked.store(false, Ordering::SeqCst);
        // News that came before that line did not queue the tail.
        !local.news.load(Ordering::SeqCst) || local.walked.swap(true, Ordering::SeqCst)
    }

    /// Appends the readers on `worker` at `places` to `out`; empty places are left out. They are told of news when
    /// the lock is released again, because whoever is told may unsubscribe.
    pub(crate) fn readers_at(&self, worker: usize, places: Range<usize>, out: &mut Vec<LocalReader>) {
        let readers = self.local[worker].readers.lock();
        out.extend(places.filter_map(|place| readers.get(place).cloned()));
    }

    /// What a fill is to find out; `None` if the tail is whole.
    pub(crate) fn hole(&self) -> Option<Hole> {
        let state = self.state.lock();
        let hole = Hole { after: state.head, life: state.life, heard: state.heard };
        (state.heard > state.head.offset || state.doubt).then_some(hole)
    }

    /// The log is as this tail knows it.
    pub(crate) fn trust(&self) {
        self.state.lock().doubt = false;
    }

    /// The log ends here, whatever was announced.
    pub(crate) fn forget_beyond(&self, end: u64) {
        let mut state = self.state.lock();
        state.heard = end.max(state.head.offset);
        drop(state.held.split_off(&(end + 1)));
    }

    /// A fill has ended (or given up). Whether another must begin at once, because something was announced meanwhile.
    pub(crate) fn filled(&self, whole: bool) -> bool {
        let mut state = self.state.lock();
        state.filling = whole && (state.heard > state.head.offset || state.doubt);
        state.filling
    }

    /// There is an event at `last` that must be read from the log.
    pub(crate) fn heard(&self, last: Position) -> Ingested {
        let mut state = self.state.lock();
        if !self.policy.history {
            return Ingested::default();
        }
        if state.attached && state.head.epoch != last.epoch {
            return state.doubt();
        }
        state.heard = state.heard.max(last.offset);
        let fill = state.attached && state.heard > state.head.offset && !std::mem::replace(&mut state.filling, true);
        Ingested { fill, ..Ingested::default() }
    }

    /// Begins a fill for a head that is known to be further on, unless one is under way.
    pub(crate) fn begin_fill_to(&self, offset: u64) -> bool {
        let mut state = self.state.lock();
        state.heard = state.heard.max(offset);
        state.heard > state.head.offset && !std::mem::replace(&mut state.filling, true)
    }

    /// Whether nothing came since this was last asked, or what came leaves a hole that nobody is filling.
    pub(crate) fn is_silent(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::take(&mut state.fresh) || (state.heard > state.head.offset && !state.filling)
    }

    /// One reader has left. Undoes what [`crate::Hub::acquire`] did.
    pub(crate) fn release(&self) {
        if self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.lock().idle_since = Instant::now();
        }
    }

    /// For how long there has been no reader.
    pub(crate) fn idle_for(&self) -> std::time::Duration {
        self.state.lock().idle_since.elapsed()
    }

    /// Drops events from the ring that were appended before `before`, and says how many bytes that freed.
    pub(crate) fn drop_older(&self, before: fanfare_model::Timestamp) -> usize {
        let mut state = self.state.lock();
        let bytes = state.ring_bytes;
        while state.ring.front().is_some_and(|entry| entry.event.time < before) {
            state.pop();
        }
        if state.ring.is_empty() {
            state.ring.shrink_to_fit();
        }
        bytes - state.ring_bytes
    }

    pub(crate) fn ring_bytes(&self) -> usize {
        self.state.lock().ring_bytes
    }
}
