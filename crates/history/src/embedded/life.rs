//! The life of a store over its runs: how it ended last time, and so which offsets may not be used.
//!
//! A run that was not closed may have lost the latest events of topics whose durability is weaker than
//! `committed`, and with them the knowledge of which offsets had been handed out. Nobody knows which topics
//! those are: so there is one number, the *ceiling*, that is on the disk before any offset near it is handed
//! out. After an unclean end such a topic continues at the ceiling of the run that ended.

use fanfare_model::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use super::key::TopicId;
use super::topic::TopicRecord;
use crate::Durability;
use crate::record::codec::{Damage, seal, unseal};

const VERSION: u8 = 2;

/// By how much the ceiling is raised at once. Each time costs one `fdatasync`, and an unclean end jumps over at
/// most so many offsets of the 2⁶⁴ there are.
pub(super) const CEILING_STEP: u64 = if cfg!(test) { 1000 } else { 1_000_000 };

/// The end of a run that was not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UncleanEnd {
    run: u64,
    /// No topic had used this offset or a later one.
    ceiling: u64,
}

/// What an unclean end may have lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// What the process had not handed to the operating system.
    Process,
    /// What was not on the disk: the machine went down, or the disk failed to take what it was given.
    Machine,
}

/// The record of the store's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// The epoch of every topic that has no record of its own.
    pub(super) epoch: Epoch,
    pub(super) run: u64,
    pub(super) closed: bool,
    /// The first file of the write-ahead log whose frames may not be in the store yet.
    pub(super) wal_from: u64,
    /// A number that no frame has that was moved to the store, nor any after it.
    pub(super) next_frame: u64,
    /// A secret of this store, so that nobody can choose event ids that are taken for another.
    pub(super) secret: u64,
    boot: u64,
    ceiling: u64,
    next_tid: TopicId,
    process_end: UncleanEnd,
    machine_end: UncleanEnd,
}

impl Life {
    /// A new store.
    pub(super) fn new(boot: u64) -> Self {
        let never = UncleanEnd { run: 0, ceiling: 0 };
        Self {
            epoch: Epoch::generate(),
            run: 1,
            closed: false,
            wal_from: 1,
            next_frame: 1,
            secret: rand::random(),
            boot,
            ceiling: CEILING_STEP,
            next_tid: 1,
            process_end: never,
            machine_end: never,
        }
    }

    /// The next run after the one that left this record. `boot` names the boot of the machine now;
    /// `lost_machine` says that the disk is known to have lost something.
    pub(super) fn resume(mut self, boot: u64, lost_machine: bool) -> Self {
        if !self.closed {
            let end = UncleanEnd { run: self.run, ceiling: self.ceiling };
            self.process_end = end;
            if self.lost(boot, lost_machine) == Lost::Machine {
                self.machine_end = end;
                // A topic that was lost as a whole has no record to say which offsets it had used.
                self.epoch = Epoch::generate();
            }
            self.ceiling += CEILING_STEP;
        }
        self.run += 1;
        self.closed = false;
        self.boot = boot;
        self
    }

    fn lost(&self, boot: u64, lost_machine: bool) -> Lost {
        if lost_machine || boot == BOOT_UNKNOWN || boot != self.boot { Lost::Machine } else { Lost::Process }
    }

    /// The next offset of a topic.
    pub(super) fn next_offset(&self, topic: &TopicRecord) -> u64 {
        let end = match topic.durability {
            Durability::Committed => None,
            Durability::Buffered => Some(self.machine_end),
            Durability::None => Some(self.process_end),
        };
        let floor = end.filter(|end| topic.ever_appended && end.run >= topic.run).map_or(0, |end| end.ceiling);
        (topic.head.last.offset + 1).max(floor)
    }

    /// The number of a topic that is new.
    pub(super) fn new_tid(&mut self) -> TopicId {
        let tid = self.next_tid;
        self.next_tid += 1;
        tid
    }

    /// The record to be stored when a move to the store begins; `stored` is the one there.
    pub(super) fn before_move(&self, stored: &Self) -> Self {
        Self { wal_from: stored.wal_from, closed: stored.closed, ..*self }
    }

    /// Takes over what a frame of the write-ahead log says: that a topic has this number.
    pub(super) fn has_tid(&mut self, tid: TopicId) {
        self.next_tid = self.next_tid.max(tid + 1);
    }

    /// Takes over what a frame of the write-ahead log says: that the ceiling was raised so far.
    pub(super) fn has_ceiling(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.max(ceiling);
    }

    pub(super) fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Whether `offset` may be handed out without storing a higher ceiling first.
    pub(super) fn covers(&self, offset: u64) -> bool {
        offset < self.ceiling
    }

    /// Raises the ceiling over `offset`. To be on the disk before `offset` is used.
    pub(super) fn raise_over(&mut self, offset: u64) {
        self.ceiling = self.ceiling.max(offset) + CEILING_STEP;
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.wal_from,
            self.next_frame,
            self.secret,
            self.boot,
            self.ceiling,
            self.next_tid,
            self.process_end.run,
            self.process_end.ceiling,
            self.machine_end.run,
            self.machine_end.ceiling,
        ];
        seal(VERSION, 0, 96, |to| {
            to.u32(self.epoch.as_u32());
            to.u64(self.run);
            to.u8(u8::from(self.closed));
            for number in numbers {
                to.u64(number);
            }
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut from = unseal(bytes, VERSION, 0)?;
        let life = Self {
            epoch: Epoch::from_u32(from.u32()?).ok_or(Damage::Field("epoch"))?,
            run: from.u64()?,
            closed: from.u8()? != 0,
            wal_from: from.u64()?,
            next_frame: from.u64()?,
            secret: from.u64()?,
            boot: from.u64()?,
            ceiling: from.u64()?,
            next_tid: from.u64()?,
            process_end: UncleanEnd { run: from.u64()?, ceiling: from.u64()? },
            machine_end: UncleanEnd { run: from.u64()?, ceiling: from.u64()? },
        };
        from.end()?;
        Ok(life)
    }
}

/// A boot that could not be named is like no other.
const BOOT_UNKNOWN: u64 = 0;

/// Names the boot of this machine; it changes when the machine goes down.
pub(super) fn boot_now() -> u64 {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or(BOOT_UNKNOWN, |id| xxh3_64(id.trim().as_bytes()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(durability: Durability, run: u64) -> TopicRecord {
        let mut record = TopicRecord::new(1, Epoch::from_u32(1).unwrap());
        (record.durability, record.run, record.ever_appended) = (durability, run, true);
        record.head.last.offset = 7;
        record
    }

    fn next(life: &Life, run: u64) -> [u64; 3] {
        [Durability::None, Durability::Buffered, Durability::Committed]
            .map(|durability| life.next_offset(&topic(durability, run)))
    }

    #[test]
    fn only_what_may_have_been_lost_jumps_to_the_ceiling() {
        let first = Life::new(5);
        assert_eq!(next(&first, 1), [8, 8, 8]);
        let closed = Life { closed: true, ..first }.resume(6, false);
        assert_eq!((next(&closed, 1), closed.epoch), ([8, 8, 8], first.epoch));
        let killed = first.resume(5, false);
        assert_eq!((next(&killed, 1), killed.epoch), ([CEILING_STEP, 8, 8], first.epoch));
        assert!(killed.covers(CEILING_STEP));
        assert_eq!(next(&killed, 2), [8, 8, 8], "what was appended to since then is known");
        for crashed in [first.resume(6, false), first.resume(BOOT_UNKNOWN, false), first.resume(5, true)] {
            assert_eq!(next(&crashed, 1), [CEILING_STEP, CEILING_STEP, 8]);
            assert_ne!(crashed.epoch, first.epoch);
            let closed = Life { closed: true, ..crashed }.resume(6, false);
            assert_eq!(next(&closed, 1), [CEILING_STEP, CEILING_STEP, 8], "not forgotten by a clean end");
            assert_eq!(Life::decode(&closed.encode()), Ok(closed));
        }
    }
}
