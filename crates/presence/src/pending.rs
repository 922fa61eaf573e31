//! Changes that are still to be announced: gathered per topic for a moment, so that a crowd that comes together is told
//! of in one message.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::TopicKey;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::diff::Diff;
use crate::engine::{Change, Telling, What};
use crate::member::Member;

/// Where only the number is told it is told so much less often: it is of less use, and to more.
const OCCUPANCY_FLUSHES: u32 = 4;
/// The most whole differences of one topic that wait. Beyond it the oldest is dropped; who listens notices by `prev`.
const SEALED_MAX: usize = 16;

/// What is gathered, of all topics.
pub(crate) struct Pending {
    bytes_max: usize,
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    gathered: HashMap<TopicKey, Gathered>,
    /// Each topic that is in `gathered` once.
    due: BinaryHeap<Reverse<(Instant, TopicKey)>>,
}

/// What is gathered of one topic. It is here from its first change until a flush finds nothing new.
struct Gathered {
    flush: Duration,
    /// Differences that are full.
    sealed: VecDeque<Diff>,
    open: Option<Open>,
}

/// A difference that grows.
struct Open {
    prev: u64,
    rev: u64,
    count: u64,
    touched: BTreeMap<String, Touched>,
    bytes: usize,
    occupancy_only: bool,
}

struct Touched {
    /// Whether who listens knew it before.
    known: bool,
    /// How it is, or how it was before it left.
    member: Arc<Member>,
    here: bool,
}

impl Pending {
    /// Differences have about `bytes_max` at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, topics: Mutex::default() }
    }

    /// Notes a change. The first of a topic is due at once, those that follow soon after it are told together. Says
    /// whether there is something new to wait for.
    pub(crate) fn add(&self, change: &Change) -> bool {
        let mut topics = self.topics.lock();
        let is_new = !topics.gathered.contains_key(&change.topic);
        if is_new {
            topics.due.push(Reverse((Instant::now(), change.topic.clone())));
            let flush = change.policy.flush.get();
            topics.gathered.insert(change.topic.clone(), Gathered { flush, sealed: VecDeque::new(), open: None });
        }
        if let Some(gathered) = topics.gathered.get_mut(&change.topic) {
            gathered.add(change, self.bytes_max);
        }
        is_new
    }

    /// When the next is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.topics.lock().due.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes what is due, in order of its topic's revisions.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<(TopicKey, Vec<Diff>)> {
        let mut topics = self.topics.lock();
        let mut taken = Vec::new();
        while topics.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, topic))) = topics.due.pop() else { break };
            let Some(gathered) = topics.gathered.get_mut(&topic) else { continue };
            match gathered.take() {
                Some((diffs, wait)) => {
                    topics.due.push(Reverse((now + wait, topic.clone())));
                    taken.push((topic, diffs));
                }
                None => drop(topics.gathered.remove(&topic)),
            }
        }
        if topics.gathered.is_empty() {
            topics.gathered.shrink_to(64);
            topics.due.shrink_to(64);
        }
        taken
    }
}

impl Gathered {
    fn add(&mut self, change: &Change, bytes_max: usize) {
        let open = self.open.get_or_insert_with(|| Open::after(change.prev));
        open.rev = change.rev;
        open.count = change.count;
        match &change.telling {
            Telling::Members => open.touch(&change.what),
            Telling::Occupancy => {
                open.occupancy_only = true;
                open.forget();
            }
            Telling::MembersAgain(members) => open.begin_again(members, bytes_max),
        }
        if open.bytes > bytes_max {
            self.sealed.extend(self.open.take().map(Open::into_diff));
            if self.sealed.len() > SEALED_MAX {
                self.sealed.pop_front();
            }
        }
    }

    /// Everything, and how long to wait with what comes next.
    fn take(&mut self) -> Option<(Vec<Diff>, Duration)> {
        let mut diffs: Vec<Diff> = std::mem::take(&mut self.sealed).into();
        diffs.extend(self.open.take().map(Open::into_diff));
        let wait = if diffs.last()?.occupancy_only { self.flush * OCCUPANCY_FLUSHES } else { self.flush };
        Some((diffs, wait))
    }
}

impl Open {
    fn after(prev: u64) -> Self {
        Self { prev, rev: prev, count: 0, touched: BTreeMap::new(), bytes: 0, occupancy_only: false }
    }

    fn forget(&mut self) {
        self.touched.clear();
        self.bytes = 0;
    }

    fn touch(&mut self, what: &What) {
        let (member, known, here) = match what {
            What::Joined(member) => (member, false, true),
            What::Updated(member) => (member, true, true),
            What::Left(member) => (member, true, false),
        };
        self.bytes += member.size();
        let touched = self.touched.entry(member.id.clone()).or_insert_with(|| Touched {
            known,
            member: Arc::clone(member),
            here,
        });
        touched.member = Arc::clone(member);
        touched.here = here;
    }

    /// The members are told again, after a time when only their number was. Too many to be told in one message are left
    /// to be read: `prev` then is what nobody has.
    fn begin_again(&mut self, members: &[Arc<Member>], bytes_max: usize) {
        self.forget();
        self.occupancy_only = false;
        self.prev = self.rev;
        if members.iter().map(|member| member.size()).sum::<usize>() <= bytes_max {
            self.prev = 0;
            for member in members {
                self.touch(&What::Joined(Arc::clone(member)));
            }
        }
    }

    fn into_diff(self) -> Diff {
        let Self { prev, rev, count, touched, occupancy_only, .. } = self;
        let mut diff = Diff { prev, rev, count, occupancy_only, ..Diff::default() };
        for Touched { known, member, here } in touched.into_values() {
            // Who came and went meanwhile is told of, too: a snapshot may have shown it.
            if !here {
                diff.leave.push(Arc::new(member.farewell()));
            }
            match (known, here) {
                (false, _) => diff.join.push(member),
                (true, true) => diff.update.push(member),
                (true, false) => {}
            }
        }
        diff
    }
}
