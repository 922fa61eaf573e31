//! The token buckets of each user, address or tenant.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use fanfare_model::Timestamp;
use parking_lot::Mutex;

use super::bucket::{Amount, Bucket, Rate};
use super::metrics::TableHandles;
use super::{Exceeded, Limit, Limits, Measure, Scope, Subject};

/// Parts of a table, each with a lock of its own: more than cores that publish at a time.
const SHARDS: usize = 16;

/// How many entries a newcomer looks at, to drop those that need not be kept. More than one, so that entries go faster
/// than they come; few, because publishing waits meanwhile.
const LOOKS: usize = 4;

/// The buckets of one scope, of bounded number.
///
/// A subject with full buckets is the same as one that is not there. So each newcomer looks at a few entries, going
/// round, and drops those that are full again. If there is no room all the same, the one among them that owes least is
/// dropped: it gains the least, and nobody can make the table larger.
pub(super) struct Rates {
    scope: Scope,
    publishes: Option<Rate>,
    bytes: Option<Rate>,
    /// Seeded, so that nobody can choose names that all land in one shard.
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Entries of one shard.
    entries_max: usize,
    metrics: TableHandles,
}

#[derive(Default)]
struct Shard {
    index: HashMap<Subject, usize>,
    entries: Vec<Entry>,
    /// Where the next newcomer looks.
    hand: usize,
}

struct Entry {
    subject: Subject,
    publishes: Bucket,
    bytes: Bucket,
}

impl Rates {
    pub(super) fn new(scope: Scope, limits: &Limits, tracked_max: usize) -> Self {
        Self {
            scope,
            publishes: Rate::new(limits.publishes_per_second.map(u64::from), limits.publishes_burst.map(u64::from)),
            bytes: Rate::new(limits.bytes_per_second.map(|size| size.0), limits.bytes_burst.map(|size| size.0)),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            entries_max: (tracked_max / SHARDS).max(1),
            metrics: TableHandles::new(scope),
        }
    }

    /// Whether there is anything to account for.
    pub(super) fn is_limited(&self) -> bool {
        self.publishes.is_some() || self.bytes.is_some()
    }

    fn shard(&self, subject: &Subject) -> &Mutex<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below SHARDS")]
        &self.shards[(self.hasher.hash_one(subject) % SHARDS as u64) as usize]
    }

    /// Takes `amount` out of the subject's buckets, or nothing.
    pub(super) fn spend(&self, subject: &Subject, amount: Amount, now: Timestamp) -> Result<(), Exceeded> {
        let mut shard = self.shard(subject).lock();
        let at = shard.index.get(subject).copied();
        let at = at.unwrap_or_else(|| self.enter(&mut shard, subject, now));
        let entry = &mut shard.entries[at];
        entry.settle(now);
        let wait =
            |rate: Option<Rate>, bucket: &Bucket, tokens| rate.map_or(Duration::ZERO, |r| bucket.wait(r, tokens));
        let waits = [
            (Measure::Publishes, wait(self.publishes, &entry.publishes, amount.events)),
            (Measure::Bytes, wait(self.bytes, &entry.bytes, amount.bytes)),
        ];
        if let Some((measure, wait)) =
            waits.into_iter().filter(|(_, wait)| !wait.is_zero()).max_by_key(|(_, wait)| *wait)
        {
            return Err(Exceeded { limit: Limit { scope: self.scope, measure }, retry_after: Some(wait) });
        }
        if let Some(rate) = self.publishes {
            entry.publishes.spend(rate, amount.events);
        }
        if let Some(rate) = self.bytes {
            entry.bytes.spend(rate, amount.bytes);
        }
        Ok(())
    }

    /// Puts back what was taken for something that did not happen.
    pub(super) fn give_back(&self, subject: &Subject, amount: Amount) {
        let mut shard = self.shard(subject).lock();
        // It may have been forgotten since, and is then as good as full.
        let Some(at) = shard.index.get(subject).copied() else { return };
        let entry = &mut shard.entries[at];
        if let Some(rate) = self.publishes {
            entry.publishes.give_back(rate, amount.events);
        }
        if let Some(rate) = self.bytes {
            entry.bytes.give_back(rate, amount.bytes);
        }
    }

    /// Makes an entry with full buckets, and room for it.
    fn enter(&self, shard: &mut Shard, subject: &Subject, now: Timestamp) -> usize {
        // Right as long as nothing is removed; and if something is, there is room.
        let mut owes_least: Option<(usize, u64)> = None;
        for _ in 0..LOOKS {
            if shard.entries.is_empty() {
                break;
            }
            let at = shard.hand % shard.entries.len();
            let owed = shard.entries[at].settle(now);
            if owed == 0 {
                shard.remove(at);
                self.metrics.tracked.decrement(1);
                continue;
            }
            if owes_least.is_none_or(|(_, least)| owed < least) {
                owes_least = Some((at, owed));
            }
            shard.hand = at + 1;
        }
        if let Some((at, _)) = owes_least
            && shard.entries.len() >= self.entries_max
        {
            shard.remove(at);
            self.metrics.tracked.decrement(1);
            self.metrics.forgotten.increment(1);
        }
        self.metrics.tracked.increment(1);
        shard.push(Entry { subject: subject.clone(), publishes: Bucket::full(now), bytes: Bucket::full(now) })
    }

    #[cfg(test)]
    pub(super) fn tracked(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }
}

impl Shard {
    fn push(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        self.index.insert(entry.subject.clone(), at);
        self.entries.push(entry);
        at
    }

    fn remove(&mut self, at: usize) {
        let gone = self.entries.swap_remove(at);
        self.index.remove(&gone.subject);
        if let Some(moved) = self.entries.get(at) {
            self.index.insert(moved.subject.clone(), at);
        }
    }
}

impl Entry {
    /// Brings both buckets to the present. Returns what is owed to the emptier one.
    fn settle(&mut self, now: Timestamp) -> u64 {
        self.publishes.settle(now).max(self.bytes.settle(now))
    }
}
