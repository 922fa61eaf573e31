//! What a reader must see of one publisher on one topic: every event once, in order.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How often a promise was broken. Anything but zero makes the run fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Violations {
    /// Events that a reader never got although later ones came.
    pub(crate) missing: u64,
    /// Events that a reader got again.
    pub(crate) duplicates: u64,
    /// Events that came after a later one.
    pub(crate) reordered: u64,
    /// Payloads that are not what was published.
    pub(crate) corrupt: u64,
    /// Events of a topic that the reader had not subscribed to.
    pub(crate) strays: u64,
    /// Readers of one topic that saw its events in different orders.
    pub(crate) disagreements: u64,
    /// Events that were acknowledged to their publisher and had not come when the run ended.
    pub(crate) undelivered: u64,
}

impl Violations {
    pub(crate) fn total(&self) -> u64 {
        self.rows().iter().map(|(_, count)| count).sum()
    }

    /// Names and counts, for tables.
    pub(crate) fn rows(&self) -> [(&'static str, u64); 7] {
        [
            ("missing", self.missing),
            ("duplicates", self.duplicates),
            ("reordered", self.reordered),
            ("corrupt", self.corrupt),
            ("strays", self.strays),
            ("disagreements", self.disagreements),
            ("undelivered", self.undelivered),
        ]
    }
}

impl AddAssign for Violations {
    fn add_assign(&mut self, other: Self) {
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.strays += other.strays;
        self.disagreements += other.disagreements;
        self.undelivered += other.undelivered;
    }
}

/// Which event a reader must see first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// Whichever comes: it subscribed while events flowed.
    Any,
    /// This one: nothing was published before it subscribed, or it began at the start.
    Sequence(u32),
}

/// What one reader has seen of one publisher on one topic.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) publisher: u16,
    /// One more than the highest sequence seen; 0 before the first.
    next: u32,
    /// Bit n: the event n + 1 before `next` has been seen.
    seen: u64,
}

impl Track {
    pub(crate) fn new(publisher: u16, first: First) -> Self {
        match first {
            First::Any => Self { publisher, next: 0, seen: 0 },
            First::Sequence(first) => Self { publisher, next: first, seen: u64::MAX },
        }
    }

    /// The next event need not be the next in the sequence: the server has said that some are gone.
    pub(crate) fn forgive(&mut self) {
        (self.next, self.seen) = (0, 0);
    }

    /// Takes note of an event; counts it in `wrong` if it should not have come now. Returns whether it is new.
    pub(crate) fn see(&mut self, sequence: u32, wrong: &mut Violations) -> bool {
        if self.next == 0 {
            (self.next, self.seen) = (sequence + 1, u64::MAX);
            return true;
        }
        if sequence >= self.next {
            let skipped = sequence - self.next;
            wrong.missing += u64::from(skipped);
            self.seen = self.seen.checked_shl(skipped + 1).unwrap_or(0) | 1;
            self.next = sequence + 1;
            return true;
        }
        let bit = 1_u64.checked_shl(self.next - 1 - sequence).unwrap_or(0);
        if bit != 0 && self.seen & bit == 0 {
            // Counted as missing when a later one came.
            self.seen |= bit;
            wrong.missing = wrong.missing.saturating_sub(1);
            wrong.reordered += 1;
            return true;
        }
        wrong.duplicates += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(first: First, sequences: &[u32]) -> Violations {
        let mut track = Track::new(0, first);
        let mut wrong = Violations::default();
        for sequence in sequences {
            track.see(*sequence, &mut wrong);
        }
        wrong
    }

    #[test]
    fn an_unbroken_chain_is_fine() {
        assert_eq!(watch(First::Sequence(1), &[1, 2, 3, 4]), Violations::default());
        assert_eq!(watch(First::Any, &[17, 18, 19]), Violations::default());
    }

    #[test]
    fn a_planted_gap_is_found() {
        assert_eq!(watch(First::Sequence(1), &[1, 2, 5, 6]), Violations { missing: 2, ..Violations::default() });
        assert_eq!(watch(First::Sequence(1), &[3]), Violations { missing: 2, ..Violations::default() });
        assert_eq!(watch(First::Any, &[1, 1000]), Violations { missing: 998, ..Violations::default() });
    }

    #[test]
    fn a_planted_duplicate_is_found() {
        assert_eq!(watch(First::Sequence(1), &[1, 2, 2, 3]), Violations { duplicates: 1, ..Violations::default() });
        assert_eq!(watch(First::Any, &[5, 6, 5, 7]), Violations { duplicates: 1, ..Violations::default() });
        let far = [(1..=100).collect::<Vec<_>>(), vec![1]].concat();
        assert_eq!(watch(First::Sequence(1), &far), Violations { duplicates: 1, ..Violations::default() });
    }

    #[test]
    fn a_planted_exchange_is_reordering_and_not_loss() {
        assert_eq!(watch(First::Sequence(1), &[1, 3, 2, 4]), Violations { reordered: 1, ..Violations::default() });
        let again = [1, 3, 2, 2, 4];
        let both = Violations { reordered: 1, duplicates: 1, ..Violations::default() };
        assert_eq!(watch(First::Sequence(1), &again), both);
    }

    #[test]
    fn what_came_before_the_first_is_a_duplicate_and_not_reordering() {
        assert_eq!(watch(First::Sequence(5), &[5, 4]), Violations { duplicates: 1, ..Violations::default() });
    }

    #[test]
    fn a_gap_that_was_told_is_forgiven_once() {
        let mut track = Track::new(0, First::Sequence(1));
        let mut wrong = Violations::default();
        track.see(1, &mut wrong);
        track.forgive();
        track.see(9, &mut wrong);
        assert_eq!(wrong.total(), 0);
        track.see(11, &mut wrong);
        assert_eq!(wrong.missing, 1);
    }
}
