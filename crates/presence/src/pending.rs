//! Changes that are still to be announced: gathered per topic for a moment, so that a crowd that comes together is told
//! of in one message.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::TopicKey;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::change::{Change, Telling, What};
use crate::diff::Diff;
use crate::member::Member;
use crate::progress::Progress;

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
    /// Where in the feed the first change is that is not announced.
    since: Option<Place>,
    /// Announcements that are full.
    sealed: VecDeque<Announcement>,
    open: Option<Open>,
}

/// A shard, and a position in its feed.
pub(crate) type Place = (u16, u64);

/// What is to be told of a topic.
#[derive(Debug, Clone)]
pub(crate) enum Announcement {
    /// This.
    Diff(Diff),
    /// All members, as they are: they are to be named again.
    Everybody,
}

/// What is due of one topic, in order of its revisions.
pub(crate) struct Due {
    pub(crate) topic: TopicKey,
    /// Where the first change of it is.
    pub(crate) since: Place,
    pub(crate) announcements: Vec<Announcement>,
}

/// An announcement that grows.
struct Open {
    life: Arc<str>,
    prev: u64,
    rev: u64,
    count: u64,
    touched: BTreeMap<String, Touched>,
    bytes: usize,
    occupancy_only: bool,
    /// The members are to be named again, all of them.
    everybody: bool,
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

    /// Notes a change, which is at `place`. The first of a topic is due at once, those that follow within `flush` after it
    /// are told together. Says whether there is something new to wait for.
    pub(crate) fn add(&self, change: &Change, place: Place, flush: Duration, progress: &Progress) -> bool {
        let mut topics = self.topics.lock();
        let is_new = !topics.gathered.contains_key(&change.topic);
        if is_new {
            topics.due.push(Reverse((Instant::now(), change.topic.clone())));
            let gathered = Gathered { flush, since: None, sealed: VecDeque::new(), open: None };
            topics.gathered.insert(change.topic.clone(), gathered);
        }
        if let Some(gathered) = topics.gathered.get_mut(&change.topic) {
            gathered.since.get_or_insert_with(|| {
                progress.to_announce(place.0, place.1);
                place
            });
            gathered.add(change, self.bytes_max);
        }
        is_new
    }

    /// What could not be announced is due again later, before everything else of its topic.
    pub(crate) fn put_back(&self, due: Due, progress: &Progress) {
        let mut topics = self.topics.lock();
        // It is still there and waits for its next flush, because what is due is announced before more of it is taken.
        let Some(gathered) = topics.gathered.get_mut(&due.topic) else {
            return progress.announced(due.since.0, due.since.1);
        };
        for announcement in due.announcements.into_iter().rev() {
            gathered.sealed.push_front(announcement);
        }
        gathered.keep_few();
        progress.still_to_announce(due.since.0, due.since.1);
        if let Some((shard, position)) = gathered.since.replace(due.since) {
            progress.announced(shard, position);
        }
    }

    /// When the next is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.topics.lock().due.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes what is due.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Due> {
        let mut topics = self.topics.lock();
        let mut taken = Vec::new();
        while topics.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, topic))) = topics.due.pop() else { break };
            let Some(gathered) = topics.gathered.get_mut(&topic) else { continue };
            match gathered.take() {
                Some((since, announcements, wait)) => {
                    topics.due.push(Reverse((now + wait, topic.clone())));
                    taken.push(Due { topic, since, announcements });
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
        if self.open.as_ref().is_some_and(|open| !open.goes_on_with(change)) {
            self.seal();
        }
        let open = self.open.get_or_insert_with(|| Open::before(change));
        open.rev = change.rev;
        open.count = change.count;
        match change.telling {
            _ if open.everybody => {}
            Telling::Members => open.touch(&change.what),
            Telling::Occupancy => {
                open.occupancy_only = true;
                open.forget();
            }
            Telling::MembersAgain => {
                open.everybody = true;
                open.forget();
            }
        }
        if open.bytes > bytes_max {
            self.seal();
        }
    }

    /// What is open is not added to any more.
    fn seal(&mut self) {
        self.sealed.extend(self.open.take().map(Open::into_announcement));
        self.keep_few();
    }

    fn keep_few(&mut self) {
        while self.sealed.len() > SEALED_MAX {
            self.sealed.pop_front();
        }
    }

    /// Everything, and how long to wait with what comes next.
    fn take(&mut self) -> Option<(Place, Vec<Announcement>, Duration)> {
        let since = self.since.take()?;
        let mut all: Vec<Announcement> = std::mem::take(&mut self.sealed).into();
        all.extend(self.open.take().map(Open::into_announcement));
        let only_number = matches!(all.last()?, Announcement::Diff(Diff { occupancy_only: true, .. }));
        Some((since, all, if only_number { self.flush * OCCUPANCY_FLUSHES } else { self.flush }))
    }
}

impl Open {
    fn before(change: &Change) -> Self {
        Self {
            life: Arc::clone(&change.life),
            prev: change.prev,
            rev: change.prev,
            count: 0,
            touched: BTreeMap::new(),
            bytes: 0,
            occupancy_only: false,
            everybody: false,
        }
    }

    /// Whether nothing is missing between this and the change. Something may be if another node had the shard meanwhile.
    fn goes_on_with(&self, change: &Change) -> bool {
        self.life == change.life && (change.prev == self.rev || change.prev == 0 && self.count == 0)
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

    fn into_announcement(self) -> Announcement {
        if self.everybody { Announcement::Everybody } else { Announcement::Diff(self.into_diff()) }
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
