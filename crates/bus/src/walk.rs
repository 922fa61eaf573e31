//! Walks through the readers of tails that have news.
//!
//! A walk visits every reader of one tail on one worker. Walks take turns, so that a topic with a million readers does
//! not hold up the others. News that come during a walk do not begin a second one beside it: the walk goes on until
//! everybody has been visited since, and each reader takes all there is by then.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::tail::{LocalReader, Tail};

/// The most readers of one tail that are visited before the next tail has its turn.
const TURN: usize = 64;

/// The walks under way on one worker.
pub(crate) struct Walks {
    worker: usize,
    /// In turn.
    under_way: VecDeque<Walk>,
    /// Whom a turn tells; empty in between.
    readers: Vec<LocalReader>,
}

struct Walk {
    tail: Arc<Tail>,
    places: usize,
    /// The next place to visit.
    at: usize,
    /// How many are still to be visited.
    left: usize,
}

impl Walks {
    pub(crate) fn new(worker: usize) -> Self {
        Self { worker, under_way: VecDeque::new(), readers: Vec::with_capacity(TURN) }
    }

    pub(crate) fn are_over(&self) -> bool {
        self.under_way.is_empty()
    }

    /// There are news in `tail`, which is not being walked.
    pub(crate) fn begin(&mut self, tail: Arc<Tail>) {
        self.under_way.push_back(Walk { tail, places: 0, at: 0, left: 0 });
    }

    /// Visits about `stride` readers.
    pub(crate) fn go_on(&mut self, stride: usize) {
        let mut visited = 0;
        while visited < stride
            && let Some(mut walk) = self.under_way.pop_front()
        {
            // A walk that finds nobody has cost something, too.
            visited += walk.turn(self.worker, &mut self.readers).max(1);
            for reader in self.readers.drain(..) {
                reader.news.tell(reader.subscription);
            }
            if walk.left > 0 || !walk.tail.end_walk(self.worker) {
                self.under_way.push_back(walk);
            }
        }
    }
}

impl Walk {
    /// Notes whom to visit in this turn; says how many places were looked at.
    fn turn(&mut self, worker: usize, readers: &mut Vec<LocalReader>) -> usize {
        if let Some(places) = self.tail.news(worker) {
            (self.places, self.left) = (places, places);
        }
        if self.at >= self.places {
            self.at = 0;
        }
        let end = self.places.min(self.at + TURN.min(self.left));
        self.tail.readers_at(worker, self.at..end, readers);
        let looked = end - self.at;
        (self.at, self.left) = (end, self.left - looked);
        looked
    }
}
