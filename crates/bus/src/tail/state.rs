//! What a tail knows, under its lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use fanfare_history::Head;
use fanfare_model::{Event, GapReason, Position, Tag};

use super::{Ingested, RingLimits};
use crate::entry::Entry;

#[expect(clippy::struct_excessive_bools, reason = "each is about another thing")]
pub(super) struct TailState {
    /// The latest event of the ring, or the log's head when the ring was last empty.
    pub(super) head: Position,
    /// Counts the lives of the log while this tail exists: a reader in an earlier one is told why it ended.
    pub(super) life: u32,
    pub(super) life_began_because: GapReason,
    /// The offset of the head that it began with.
    pub(super) life_began_after: u64,
    /// Every event in `(floor, head]` is in the ring.
    pub(super) floor: u64,
    /// Reading the log from here on was found not to close up to the ring.
    pub(super) out_of_reach: u64,
    pub(super) ring: VecDeque<Arc<Entry>>,
    pub(super) ring_bytes: usize,
    /// Events that came before the head was known, or that lie beyond a hole.
    pub(super) held: BTreeMap<u64, Arc<Event>>,
    /// The highest offset heard of; a fill reads until here, even if `held` had no room for all of it.
    pub(super) heard: u64,
    /// Something was announced that does not belong to the log as this tail knows it: the log is to be looked at.
    pub(super) doubt: bool,
    pub(super) attached: bool,
    pub(super) filling: bool,
    /// Something came since heads were last compared.
    pub(super) fresh: bool,
    pub(super) idle_since: Instant,
}

impl TailState {
    pub(super) fn find(&self, offset: u64) -> Option<&Arc<Entry>> {
        let at = self.ring.binary_search_by_key(&offset, |entry| entry.event.offset).ok()?;
        self.ring.get(at)
    }

    /// `kept`: whether the log keeps events of this topic.
    pub(super) fn ingest(&mut self, event: &Arc<Event>, kept: bool, limits: RingLimits) -> Ingested {
        let mut done = Ingested::default();
        if !self.attached {
            self.hold(event, limits);
            return done;
        }
        if event.epoch != self.head.epoch {
            // A hint from another life, whose beginning may not have been heard of.
            if kept {
                return self.doubt();
            }
            // Of a topic that keeps nothing only the head is remembered, and not for ever: it was forgotten, and came back.
            let before = Position { epoch: event.epoch, offset: event.prev, tag: Tag::NONE };
            done.bytes -= self.begin_life(before, GapReason::Epoch).cast_signed();
        }
        if event.offset <= self.head.offset {
            // The same event once more, or another one in its place: then the log has forked.
            let known = if event.offset == self.head.offset { Some(self.head) } else { self.position_of(event.offset) };
            let is_another = known.is_some_and(|known| known.tag != Tag::NONE && known != event.position());
            return if kept && is_another { self.doubt() } else { done };
        }
        if kept && event.prev < self.head.offset {
            // It does not know of the latest event: the log has lost its tail.
            self.hold(event, limits);
            return self.doubt();
        }
        if event.prev > self.head.offset {
            if kept {
                self.hold(event, limits);
                done.fill = !std::mem::replace(&mut self.filling, true);
                return done;
            }
            // What was lost of a topic that keeps nothing is lost.
            done.bytes -= self.begin_after(event.prev).cast_signed();
        }
        self.push(Arc::clone(event), limits, &mut done);
        self.release_held(kept, limits, &mut done);
        done
    }

    fn position_of(&self, offset: u64) -> Option<Position> {
        self.find(offset).map(|entry| entry.event.position())
    }

    /// The log is to be looked at.
    pub(super) fn doubt(&mut self) -> Ingested {
        self.doubt = true;
        Ingested { fill: !std::mem::replace(&mut self.filling, true), ..Ingested::default() }
    }

    /// The ring begins anew after an offset; says how many bytes that freed.
    pub(super) fn begin_after(&mut self, offset: u64) -> usize {
        self.ring.clear();
        self.floor = offset;
        self.head = Position { offset, tag: Tag::NONE, ..self.head };
        std::mem::take(&mut self.ring_bytes)
    }

    fn hold(&mut self, event: &Arc<Event>, limits: RingLimits) {
        self.heard = self.heard.max(event.offset);
        // What does not fit is not lost: the fill reads the log up to `heard`.
        if self.held.len() < limits.events_max {
            self.held.insert(event.offset, Arc::clone(event));
        }
    }

    pub(super) fn release_held(&mut self, kept: bool, limits: RingLimits, done: &mut Ingested) {
        while let Some(next) = self.held.first_entry() {
            if next.get().epoch != self.head.epoch || *next.key() <= self.head.offset {
                next.remove();
            } else if next.get().prev == self.head.offset || !kept {
                let event = next.remove();
                if event.prev > self.head.offset {
                    done.bytes -= self.begin_after(event.prev).cast_signed();
                }
                self.push(event, limits, done);
            } else {
                self.doubt |= next.get().prev < self.head.offset;
                done.fill |= !std::mem::replace(&mut self.filling, true);
                return;
            }
        }
        if self.heard > self.head.offset {
            done.fill |= !std::mem::replace(&mut self.filling, true);
        }
    }

    fn push(&mut self, event: Arc<Event>, limits: RingLimits, done: &mut Ingested) {
        let before = self.ring_bytes;
        self.head = event.position();
        self.heard = self.heard.max(event.offset);
        self.fresh = true;
        let entry = Arc::new(Entry::new(event));
        self.ring_bytes += entry.weight();
        self.ring.push_back(entry);
        while self.ring.len() > 1 && (self.ring.len() > limits.events_max || self.ring_bytes > limits.bytes_max) {
            self.pop();
        }
        done.advanced = true;
        done.bytes += self.ring_bytes.cast_signed() - before.cast_signed();
    }

    pub(super) fn pop(&mut self) {
        if let Some(entry) = self.ring.pop_front() {
            self.ring_bytes -= entry.weight();
            self.floor = entry.event.offset;
        }
    }

    pub(super) fn rebirth(&mut self, head: &Head, reason: GapReason, kept: bool, limits: RingLimits) -> Ingested {
        // Who announces it may have been heard already by who compared heads.
        if !self.attached || (reason == GapReason::Epoch && head.last.epoch == self.head.epoch) {
            return Ingested::default();
        }
        if reason == GapReason::Fork {
            // What was held may be of the branch that is gone.
            self.held.clear();
        }
        let freed = self.begin_life(head.last, reason);
        let mut done = Ingested { advanced: true, fill: false, bytes: -freed.cast_signed() };
        self.release_held(kept, limits, &mut done);
        done
    }

    /// A new life begins after `head`; says how many bytes of the old one that freed.
    fn begin_life(&mut self, head: Position, reason: GapReason) -> usize {
        self.ring.clear();
        self.head = head;
        self.floor = head.offset;
        self.out_of_reach = 0;
        self.heard = head.offset;
        self.doubt = false;
        self.life += 1;
        self.life_began_after = head.offset;
        self.life_began_because = reason;
        std::mem::take(&mut self.ring_bytes)
    }
}
