//! A filter over the ids in the store: says of nearly every id that is not there that it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fanfare_model::Timestamp;
use parking_lot::RwLock;

use super::IdHash;

/// Bits of a filter for each id that it is made for. With [`PROBES`] one new id of 20,000 is searched for in vain.
const BITS_PER_ID: usize = 20;
const PROBES: u64 = 10;
/// The smallest filter: 20 KB.
const IDS_MIN: usize = 8192;
/// A slice of the window is closed when it spans so much of it, so that what has expired goes slice by slice.
const SLICES_PER_WINDOW: u32 = 4;

/// Which chunks of a topic an id may be in: those moved to the store from the first to the last of these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) struct Moves {
    pub(in crate::embedded) first: u64,
    pub(in crate::embedded) last: u64,
}

/// The ids in the store.
#[derive(Default)]
pub(in crate::embedded) struct Filter {
    slices: RwLock<Vec<Arc<Slice>>>,
}

/// The ids of a stretch of time.
struct Slice {
    blooms: Vec<Arc<Bloom>>,
    moves: Moves,
    began: Timestamp,
    expires: Timestamp,
    ids: usize,
}

impl Filter {
    /// Adds the ids of one move; forgets what has expired.
    pub(in crate::embedded) fn add(
        &self,
        number: u64,
        now: Timestamp,
        expires: Timestamp,
        ids: impl ExactSizeIterator<Item = IdHash>,
    ) {
        let count = ids.len();
        let mut slices: Vec<Arc<Slice>> = self.slices.read().iter().filter(|s| s.expires > now).cloned().collect();
        if count > 0 {
            let is_open =
                |slice: &Arc<Slice>| now.since(slice.began) * SLICES_PER_WINDOW < slice.expires.since(slice.began);
            let open = if slices.last().is_some_and(is_open) { slices.pop() } else { None };
            let slice = Slice::with(open.as_deref(), number, now, expires, count);
            let bloom = slice.blooms.last();
            for id in ids {
                if let Some(bloom) = bloom {
                    bloom.insert(id);
                }
            }
            slices.push(Arc::new(slice));
        }
        *self.slices.write() = slices;
    }

    /// Where in the store an id may be; `None`: it is not there.
    pub(in crate::embedded) fn find(&self, id: IdHash) -> Option<Moves> {
        let slices = self.slices.read();
        let mut found = slices.iter().filter(|slice| slice.blooms.iter().any(|bloom| bloom.contains(id)));
        let first = found.next()?.moves;
        Some(found.fold(first, |moves, slice| Moves { first: moves.first, last: slice.moves.last }))
    }
}

impl Slice {
    /// The slice with room for `count` more; a new filter is twice as large as the last, so that there are few.
    fn with(open: Option<&Self>, number: u64, now: Timestamp, expires: Timestamp, count: usize) -> Self {
        let mut slice = open.map_or_else(
            || Self { blooms: Vec::new(), moves: Moves { first: number, last: number }, began: now, expires, ids: 0 },
            |open| Self { blooms: open.blooms.clone(), ..*open },
        );
        slice.moves.last = number;
        slice.expires = slice.expires.max(expires);
        let room = slice.blooms.last().map_or(0, |bloom| bloom.ids_max);
        if slice.ids + count > room {
            slice.blooms.push(Arc::new(Bloom::new(count.max(room * 2).max(IDS_MIN))));
            slice.ids = 0;
        }
        slice.ids += count;
        slice
    }
}

/// A Bloom filter that is read while it is written.
struct Bloom {
    words: Box<[AtomicU64]>,
    ids_max: usize,
}

impl Bloom {
    fn new(ids_max: usize) -> Self {
        let words = (ids_max * BITS_PER_ID).div_ceil(64).next_power_of_two();
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), ids_max }
    }

    /// Word and bit of each probe.
    fn places(&self, id: IdHash) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let step = id.high() | 1;
        (0..PROBES).map(move |probe| {
            let bit = id.low().wrapping_add(step.wrapping_mul(probe));
            let word = (bit >> 6) as usize & (self.words.len() - 1);
            (&self.words[word], 1 << (bit & 63))
        })
    }

    fn insert(&self, id: IdHash) {
        for (word, bit) in self.places(id) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn contains(&self, id: IdHash) -> bool {
        self.places(id).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::EventId;

    fn hashes(from: u64, count: u64) -> Vec<IdHash> {
        (from..from + count).map(|n| IdHash::of(1, 1, &EventId::new(n.to_string()).unwrap())).collect()
    }

    #[test]
    fn what_is_there_is_found_and_little_else_until_it_expires() {
        let at = Timestamp::from_seconds;
        let filter = Filter::default();
        for n in 0..40 {
            let now = at(1000 + n * 10);
            filter.add(
                n.cast_unsigned(),
                now,
                at(1000 + n * 10 + 300),
                hashes(n.cast_unsigned() * 5000, 5000).into_iter(),
            );
            for m in (n - 29).max(0).cast_unsigned()..=n.cast_unsigned() {
                for id in hashes(m * 5000, 50) {
                    let moves = filter.find(id).expect("what was added is found");
                    assert!(moves.first <= m && m <= moves.last, "{m} {moves:?}");
                }
            }
            let wrong = hashes(1_000_000, 5000).into_iter().filter(|id| filter.find(*id).is_some()).count();
            assert!(wrong <= 10, "{wrong} of 5000 are searched for in vain");
        }
        assert!(filter.slices.read().len() <= 6);
        filter.add(50, at(2000), at(2000), Vec::new().into_iter());
        assert!(filter.slices.read().is_empty());
    }
}
