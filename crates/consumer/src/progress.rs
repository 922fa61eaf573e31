//! How far a consumer is: what is done, what is out, what is to come again. No clock, no IO: time is handed in.

use std::fmt;

use fanfare_model::{Gap, Invalid, Position, Tag, Timestamp};
use serde::{Deserialize, Serialize};

/// Names a lease; a fencing token. Of two leases of a consumer the later one has the greater number, also across restarts
/// and when the consumer was forgotten in between, so that a system behind the worker can turn away whoever comes late.
/// Text: a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for LeaseId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("lease", "is not the number that a pull gave"))
    }
}

/// A stretch of offsets that is given out as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first offset. Events may be missing at its beginning: then they are gone.
    pub first: u64,
    /// Its last offset. One less than `first` if there is nothing but a gap to tell.
    pub last: u64,
    /// How often its events have been given out.
    pub deliveries: u32,
    /// The gap before it, which was told with it and is told again if it is given out again.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::json::gap")]
    pub gap: Option<Gap>,
}

impl Stretch {
    /// How many offsets it has.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.last.saturating_add(1).saturating_sub(self.first)
    }
}

/// A stretch that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// What is out.
    #[serde(flatten)]
    pub stretch: Stretch,
    /// Until when.
    pub until: Timestamp,
}

/// A stretch that is to be given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What is to be given out.
    #[serde(flatten)]
    pub stretch: Stretch,
    /// Not before this; at once if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// What a holder of a lease wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Every leased event up to this offset is done with. The rest stays leased.
    UpTo(u64),
    /// All of the lease is done with.
    All,
    /// Nothing more is done with: what is left is given out again.
    Release {
        /// Not before this time has passed.
        retry_after: std::time::Duration,
    },
    /// The lease lasts so much longer, from now.
    Extend(std::time::Duration),
}

/// How far one consumer is in one topic.
///
/// Every offset up to the frontier is in one of three states: in exactly one lease, in exactly one waiting stretch, or done
/// with. What comes after the frontier was never given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// New events come after this.
    pub frontier: Position,
    /// What is out, by offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// What is to come again, by offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// The latest lease's number.
    pub fence: u64,
    /// When [`Progress::done`] last moved.
    pub moved_at: Timestamp,
}

impl Progress {
    /// Of a consumer that begins after `at`.
    pub fn new(at: Position, now: Timestamp) -> Self {
        Self { frontier: at, leases: Vec::new(), waiting: Vec::new(), fence: 0, moved_at: now }
    }

    /// Everything up to here is done with.
    pub fn done(&self) -> Position {
        let out = self.leases.iter().map(|lease| lease.stretch.first);
        let waiting = self.waiting.iter().map(|waiting| waiting.stretch.first);
        match out.chain(waiting).min() {
            None => self.frontier,
            Some(first) => Position { offset: first.saturating_sub(1), tag: Tag::NONE, ..self.frontier },
        }
    }

    /// How many stretches are out or wait.
    pub fn stretches(&self) -> usize {
        self.leases.len() + self.waiting.len()
    }

    /// How many offsets are out.
    pub fn leased(&self) -> u64 {
        self.leases.iter().map(|lease| lease.stretch.len()).sum()
    }

    /// When something changes by itself: a lease ends, or a waiting stretch comes due.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.leases.iter().map(|lease| lease.until);
        ends.chain(self.waiting.iter().map(|waiting| waiting.due.unwrap_or(now))).min()
    }

    /// Ends the leases whose time has passed; returns how many there were.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let ended: Vec<Lease> = self.leases.extract_if(.., |lease| lease.until <= now).collect();
        for lease in &ended {
            self.park(Waiting { stretch: lease.stretch, due: None });
        }
        for waiting in &mut self.waiting {
            waiting.due = waiting.due.filter(|due| *due > now);
        }
        self.waiting.dedup_by(|next, stretch| stretch.absorb(next));
        ended.len()
    }

    /// The first stretch that is to be given out again now. Call [`Progress::expire`] before.
    pub fn due(&self) -> Option<Stretch> {
        self.waiting.iter().find(|waiting| waiting.due.is_none()).map(|waiting| waiting.stretch)
    }

    /// Gives out a due stretch again up to `last`, with the gap that is found before it now; the rest waits on.
    pub fn lease_again(
        &mut self,
        due: Stretch,
        last: u64,
        gap: Option<Gap>,
        now: Timestamp,
        until: Timestamp,
    ) -> LeaseId {
        self.take(due, last);
        self.lease(Stretch { last, gap, deliveries: due.deliveries.saturating_add(1), ..due }, now, until)
    }

    /// Gives out new events, and passes the frontier on to `to`.
    pub fn lease_new(&mut self, gap: Option<Gap>, to: Position, now: Timestamp, until: Timestamp) -> LeaseId {
        let stretch = Stretch { first: self.frontier.offset + 1, last: to.offset, deliveries: 1, gap };
        self.frontier = to;
        self.lease(stretch, now, until)
    }

    fn lease(&mut self, stretch: Stretch, now: Timestamp, until: Timestamp) -> LeaseId {
        // The clock makes numbers grow even if the record of the last ones is lost.
        self.fence = (self.fence + 1).max(u64::try_from(now.as_micros()).unwrap_or(0));
        let id = LeaseId(self.fence);
        let at = self.leases.partition_point(|lease| lease.stretch.first < stretch.first);
        self.leases.insert(at, Lease { id, stretch, until });
        id
    }

    /// Carries out what the holder of a lease wants. `None` if there is no such lease (any more).
    pub fn settle(&mut self, id: LeaseId, act: Act, now: Timestamp) -> Option<()> {
        let before = self.done();
        let at = self.leases.iter().position(|lease| lease.id == id && lease.until > now)?;
        let lease = &mut self.leases[at];
        match act {
            Act::UpTo(offset) if offset < lease.stretch.last => {
                if offset >= lease.stretch.first {
                    lease.stretch = Stretch { first: offset + 1, gap: None, ..lease.stretch };
                }
            }
            Act::UpTo(_) | Act::All => {
                self.leases.remove(at);
            }
            Act::Release { retry_after } => {
                let stretch = self.leases.remove(at).stretch;
                let due = (!retry_after.is_zero()).then(|| now.plus(retry_after));
                self.park(Waiting { stretch, due });
                self.waiting.dedup_by(|next, stretch| stretch.absorb(next));
            }
            Act::Extend(time) => lease.until = now.plus(time),
        }
        if self.done().offset > before.offset {
            self.moved_at = now;
        }
        Some(())
    }

    /// Forgets a due stretch up to `last`: its events were put elsewhere.
    pub fn bury(&mut self, due: Stretch, last: u64, now: Timestamp) {
        let before = self.done();
        self.take(due, last);
        if self.done().offset > before.offset {
            self.moved_at = now;
        }
    }

    /// Takes a waiting stretch up to `last`; the rest waits on.
    fn take(&mut self, due: Stretch, last: u64) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.stretch == due) else { return };
        if due.last > last {
            self.waiting[at].stretch = Stretch { first: last + 1, gap: None, ..due };
        } else {
            self.waiting.remove(at);
        }
    }

    /// Goes on after `at`, whatever was out or waited before: those leases have ended.
    pub fn restart(&mut self, at: Position, now: Timestamp) {
        self.frontier = at;
        self.leases.clear();
        self.waiting.clear();
        self.moved_at = now;
    }

    fn park(&mut self, waiting: Waiting) {
        let at = self.waiting.partition_point(|other| other.stretch.first < waiting.stretch.first);
        self.waiting.insert(at, waiting);
    }
}

impl Waiting {
    /// Takes in the stretch that follows without a hole, if both can be given out as one.
    fn absorb(&mut self, next: &Self) -> bool {
        let one = self.due.is_none()
            && next.due.is_none()
            && self.stretch.deliveries == next.stretch.deliveries
            && self.stretch.last.checked_add(1) == Some(next.stretch.first)
            && next.stretch.gap.is_none();
        if one {
            self.stretch.last = next.stretch.last;
        }
        one
    }
}
