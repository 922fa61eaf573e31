//! Reading back into a ring what lies before it.
//!
//! A tail is made with an empty ring. After a restart, or when a topic is looked at again, readers come back who lack the
//! last few events: were each to ask the engine for them, a node that restarts would ask it as often as it has
//! clients, all within a second or two. So the log is read for the first of them, and the others find it in the ring.

use std::sync::Arc;

use fanfare_model::{Event, Tag};

use super::state::TailState;
use super::{RingLimits, Tail};
use crate::entry::Entry;

impl Tail {
    /// Whether reading the log from `offset` on may close up to the ring.
    pub(crate) fn may_recall(&self, offset: u64) -> bool {
        self.policy.history && offset > self.state.lock().out_of_reach
    }

    /// Puts `events`, which were read from the log from `offset` on when the tail was in this life, before the ring, as far as
    /// they join it and there is room; says by how many bytes the ring grew.
    pub(crate) fn recall(&self, offset: u64, events: &[Arc<Event>], life: u32, limits: RingLimits) -> usize {
        let mut state = self.state.lock();
        if state.life != life {
            return 0;
        }
        let grown = state.prepend(events, limits);
        if state.find(offset).is_none() {
            // Who is so far behind, or further, reads the log itself.
            state.out_of_reach = state.out_of_reach.max(offset);
        }
        grown
    }
}

impl TailState {
    fn prepend(&mut self, events: &[Arc<Event>], limits: RingLimits) -> usize {
        let (before, end) = (self.ring_bytes, self.floor);
        for event in events.iter().rev().skip_while(|event| event.offset > end) {
            let is_head = event.offset == self.head.offset && self.head.tag != Tag::NONE;
            let joins = event.offset == self.floor
                && event.epoch == self.head.epoch
                && (!is_head || event.position() == self.head);
            let entry = Entry::new(Arc::clone(event));
            let has_room = self.ring.len() < limits.events_max && self.ring_bytes + entry.weight() <= limits.bytes_max;
            if !joins || !has_room {
                break;
            }
            self.ring_bytes += entry.weight();
            self.floor = event.prev;
            self.ring.push_front(Arc::new(entry));
        }
        self.ring_bytes - before
    }
}
