//! The members of one topic.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use fanfare_bus::PresencePolicy;
use fanfare_model::{SessionId, TopicKey, UserId};
use serde_json::value::RawValue;

use super::index::Index;
use crate::change::{Telling, What};
use crate::engine::{Edit, Enter, Holder};
use crate::error::Error;
use crate::member::{Member, Members, Occupancy};

/// Whose seats are to be taken away.
pub(super) enum Unseat<'a> {
    /// A session's, if this holder holds it.
    Session(&'a SessionId, &'a Holder),
    /// All of a user's.
    User(&'a UserId),
    /// All that these hold.
    HeldBy(&'a [Holder]),
}

/// One revision of a crowd, as it is told of.
pub(super) struct Step {
    pub(super) rev: u64,
    pub(super) prev: u64,
    pub(super) count: u64,
    pub(super) what: What,
    pub(super) telling: Telling,
}

/// Who is told of each.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Step);

pub(super) struct Crowd {
    policy: Arc<PresencePolicy>,
    rev: u64,
    /// Where it began: the change after it begins with nobody.
    floor: u64,
    members: BTreeMap<Arc<str>, Seated>,
    seats: HashMap<SessionId, Seat>,
    users: u64,
    occupancy_only: bool,
}

/// A member, and how many sessions it is.
struct Seated {
    member: Arc<Member>,
    seats: u32,
}

/// A session that is a member, or a part of one.
struct Seat {
    member: Arc<str>,
    user: Option<UserId>,
    holder: Holder,
}

impl Crowd {
    pub(super) fn new(policy: Arc<PresencePolicy>, floor: u64) -> Self {
        Self {
            policy,
            rev: floor,
            floor,
            members: BTreeMap::new(),
            seats: HashMap::new(),
            users: 0,
            occupancy_only: false,
        }
    }

    pub(super) fn rev(&self) -> u64 {
        self.rev
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(super) fn has(&self, session: &SessionId) -> bool {
        self.seats.contains_key(session)
    }

    pub(super) fn is_held(&self, session: &SessionId, holder: &Holder) -> bool {
        self.seats.get(session).is_some_and(|seat| seat.holder == *holder)
    }

    /// The session is held by `holder` from now on; the member that it is, if it is one.
    pub(super) fn adopt(&mut self, session: &SessionId, holder: &Holder) -> Option<Arc<Member>> {
        let seat = self.seats.get_mut(session)?;
        seat.holder = holder.clone();
        self.members.get(&seat.member).map(|seated| Arc::clone(&seated.member))
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy { count: self.members.len() as u64, users: self.users }
    }

    /// `id` is what the member is called, `is_first` whether this is the first session of its user here.
    pub(super) fn enter(&mut self, enter: &Enter, id: &str, is_first: bool, tell: Tell<'_>) {
        self.policy = Arc::clone(&enter.policy);
        self.users += u64::from(is_first);
        let is_new = !self.seats.contains_key(&enter.session);
        let seat = self.seats.entry(enter.session.clone()).or_insert_with(|| Seat {
            member: Arc::from(id),
            user: enter.user.clone(),
            holder: enter.holder.clone(),
        });
        seat.holder = enter.holder.clone();
        // A session stays the member that it is.
        let id = &Arc::clone(&seat.member);
        let Some(known) = self.members.get_mut(id) else {
            let member = Arc::new(enter.member(id, None, true));
            self.members.insert(Arc::clone(id), Seated { member: Arc::clone(&member), seats: 1 });
            return self.changed(What::Joined(member), tell);
        };
        known.seats += u32::from(is_new);
        let member = enter.member(id, Some(&known.member), is_new);
        if member != *known.member {
            known.member = Arc::new(member);
            let what = What::Updated(Arc::clone(&known.member));
            self.changed(what, tell);
        }
    }

    pub(super) fn update(&mut self, session: &SessionId, change: Edit<'_>, tell: Tell<'_>) -> Result<(), Error> {
        let seat = self.seats.get(session).ok_or(Error::NotMember)?;
        let known = self.members.get_mut(&seat.member).ok_or(Error::NotMember)?;
        let data = change(known.member.data.as_deref())?;
        if data.as_deref().map(RawValue::get) != known.member.data.as_deref().map(RawValue::get) {
            known.member = Arc::new(Member { data, ..Member::clone(&known.member) });
            let what = What::Updated(Arc::clone(&known.member));
            self.changed(what, tell);
        }
        Ok(())
    }

    /// Takes seats in `topic` away; says how many they were.
    pub(super) fn unseat(&mut self, topic: &TopicKey, whom: &Unseat<'_>, index: &Index, tell: Tell<'_>) -> usize {
        let sessions: Vec<SessionId> = match whom {
            Unseat::Session(session, holder) if self.is_held(session, holder) => vec![SessionId::clone(session)],
            Unseat::Session(..) => return 0,
            Unseat::User(user) => self.sessions(|seat| seat.user.as_ref() == Some(user)),
            Unseat::HeldBy(dead) => self.sessions(|seat| dead.contains(&seat.holder)),
        };
        for session in &sessions {
            let Some(seat) = self.seats.remove(session) else { continue };
            let was_last = index.unseated(&topic.tenant, &topic.topic, session, seat.user.as_ref());
            self.users -= u64::from(was_last);
            let Some(known) = self.members.get_mut(&seat.member) else { continue };
            known.seats -= 1;
            if known.seats == 0
                && let Some(Seated { member, .. }) = self.members.remove(&seat.member)
            {
                self.changed(What::Left(member), tell);
            }
        }
        sessions.len()
    }

    fn sessions(&self, which: impl Fn(&Seat) -> bool) -> Vec<SessionId> {
        self.seats.iter().filter(|(_, seat)| which(seat)).map(|(session, _)| session.clone()).collect()
    }

    /// Counts a revision and tells of it.
    fn changed(&mut self, what: What, tell: Tell<'_>) {
        let prev = if self.rev == self.floor { 0 } else { self.rev };
        self.rev += 1;
        let count = self.members.len() as u64;
        let telling = Telling::of(count, self.policy.members_max, self.occupancy_only);
        self.occupancy_only = telling == Telling::Occupancy;
        tell(Step { rev: self.rev, prev, count, what, telling });
    }

    pub(super) fn page(&self, after: Option<&str>, limit: usize, bytes_max: usize) -> Members {
        let (rev, count) = (self.rev, self.members.len() as u64);
        let mut page = Members { rev, count, occupancy_only: self.occupancy_only, ..Members::default() };
        if page.occupancy_only || limit == 0 {
            return page;
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        for seated in self.members.range::<str, _>((from, Bound::Unbounded)).map(|(_, seated)| seated) {
            bytes += seated.member.size();
            let is_full = page.members.len() >= limit || bytes > bytes_max;
            if is_full && let Some(last) = page.members.last() {
                page.next = Some(last.id.clone());
                break;
            }
            page.members.push(Arc::clone(&seated.member));
        }
        page
    }
}
