//! The changes of one shard that nobody has dealt with yet.

use std::collections::VecDeque;

use fanfare_cluster::Fence;

use crate::change::Change;

/// In order. Positions count from 1 without holes.
#[derive(Default)]
pub(super) struct Feed {
    changes: VecDeque<Change>,
    /// The position of the last change that there ever was.
    last: u64,
    /// Up to where they have been dealt with.
    fed: u64,
    fence: Option<Fence>,
}

impl Feed {
    /// Takes a change, and says where it is.
    pub(super) fn push(&mut self, change: Change) -> u64 {
        self.last += 1;
        self.changes.push_back(change);
        self.last
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Up to where they have been dealt with.
    pub(super) fn fed(&self) -> u64 {
        self.fed
    }

    /// The first ones after a position.
    pub(super) fn after(&self, after: u64, limit: usize) -> Vec<(u64, Change)> {
        let from = after.max(self.fed).min(self.last);
        let known = usize::try_from(from - self.fed).expect("so many are in memory");
        let left = self.changes.range(known..).take(limit);
        (from + 1..).zip(left.cloned()).collect()
    }

    /// Forgets those up to a position, unless somebody with a greater fence has done so.
    pub(super) fn forget(&mut self, fence: Fence, upto: u64) -> bool {
        if self.fence.is_some_and(|known| known > fence) {
            return false;
        }
        self.fence = Some(fence);
        let upto = upto.min(self.last);
        if upto > self.fed {
            self.changes.drain(..usize::try_from(upto - self.fed).expect("so many are in memory"));
            self.fed = upto;
            if self.changes.is_empty() {
                self.changes.shrink_to(64);
            }
        }
        true
    }
}
