//! What a shard is: its topics and who is in them, as one message holds it. No IO.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fanfare_model::{SessionId, Tenant, Timestamp, Topic, TopicKey, UserId};
use fanfare_presence::{Change, Edit, Enter, Error, Holder, Member, Members, Occupancy, Telling, What};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Names and punctuation of a member's JSON, and `since`.
const MEMBER_BYTES: usize = 64;

/// One change, on its way to the feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its place in the feed.
    pub(crate) position: u64,
    /// The place of the one before it.
    pub(crate) prev: u64,
    /// How many there were before it, ever.
    pub(crate) number: u64,
    pub(crate) change: Change,
}

/// A shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    life: Arc<str>,
    /// The place of the latest change.
    pub(crate) position: u64,
    /// How many changes there were.
    pub(crate) number: u64,
    /// The highest revision of any topic that was forgotten.
    floor: u64,
    /// By tenant and topic.
    topics: BTreeMap<String, BTreeMap<String, Crowd>>,
    /// Changes that may not be in the feed yet.
    pub(crate) outbox: Vec<Entry>,
}

/// The members of one topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Crowd {
    rev: u64,
    floor: u64,
    members_max: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    occupancy_only: bool,
    members: BTreeMap<String, Arc<Member>>,
    pub(crate) seats: BTreeMap<String, Seat>,
}

/// A session that is a member, or a part of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seat {
    member: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    pub(crate) holder: Arc<str>,
}

/// Whose seats are to be taken away.
pub(crate) enum Unseat<'a> {
    /// A session's, if this holder holds it.
    Session(&'a SessionId, &'a Holder),
    /// All of a user's.
    User(&'a UserId),
    /// All that these hold.
    HeldBy(&'a [Arc<str>]),
}

impl State {
    /// A shard in which nobody ever was, since `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        // Whoever watches ignores lower revisions than it has seen: those of a later life are higher.
        let floor = u64::try_from(now.as_micros()).unwrap_or(0);
        let life = Arc::from(SessionId::generate().as_str());
        Self { life, position: 0, number: 0, floor, topics: BTreeMap::new(), outbox: Vec::new() }
    }

    /// Where a topic's revisions are: they never go back.
    pub(crate) fn rev(&self, topic: &TopicKey) -> u64 {
        self.crowd(topic).map_or(self.floor, |crowd| crowd.rev)
    }

    pub(crate) fn crowd(&self, topic: &TopicKey) -> Option<&Crowd> {
        self.topics.get(topic.tenant.as_str())?.get(topic.topic.as_str())
    }

    fn crowd_mut(&mut self, topic: &TopicKey) -> Option<&mut Crowd> {
        self.topics.get_mut(topic.tenant.as_str())?.get_mut(topic.topic.as_str())
    }

    pub(crate) fn has(&self, topic: &TopicKey, session: &SessionId) -> bool {
        self.crowd(topic).is_some_and(|crowd| crowd.seats.contains_key(session.as_str()))
    }

    /// How many seats there are.
    pub(crate) fn seats(&self) -> usize {
        self.topics.values().flat_map(BTreeMap::values).map(|crowd| crowd.seats.len()).sum()
    }

    /// Every seat: its tenant, topic and session.
    pub(crate) fn all_seats(&self) -> impl Iterator<Item = (&str, &str, &str, &Seat)> {
        self.topics.iter().flat_map(|(tenant, topics)| {
            topics.iter().flat_map(move |(topic, crowd)| {
                crowd.seats.iter().map(move |(session, seat)| (tenant.as_str(), topic.as_str(), session.as_str(), seat))
            })
        })
    }

    /// The topics of `tenant`.
    fn topics_of(&self, tenant: &Tenant) -> Vec<TopicKey> {
        let topics = self.topics.get(tenant.as_str()).into_iter().flat_map(BTreeMap::keys);
        let topics = topics.filter_map(|topic| Topic::from_stored(topic).ok());
        topics.map(|topic| TopicKey::new(tenant.clone(), topic)).collect()
    }

    fn tell(&mut self, topic: &TopicKey, now: Timestamp, what: What) {
        let life = Arc::clone(&self.life);
        let Some(crowd) = self.crowd_mut(topic) else { return };
        let (rev, prev, count, telling) = crowd.count();
        let change = Change { topic: topic.clone(), life, rev, prev, count, at: now, what, telling };
        // By the clock, so that places never go back, even if the end of the state is lost.
        let position = (self.position + 1).max(u64::try_from(now.as_micros()).unwrap_or(0));
        self.outbox.push(Entry { position, prev: self.position, number: self.number, change });
        self.position = position;
        self.number += 1;
    }

    /// `false` if nothing is otherwise than before.
    pub(crate) fn enter(&mut self, enter: &Enter, now: Timestamp) -> Result<bool, Error> {
        let id = enter.member_id()?;
        let (floor, topic) = (self.floor, &enter.topic);
        let topics = self.topics.entry(topic.tenant.as_str().to_owned()).or_default();
        let crowd = topics.entry(topic.topic.as_str().to_owned()).or_insert_with(|| Crowd::new(floor));
        crowd.members_max = enter.policy.members_max;
        let session = enter.session.as_str();
        let known = crowd.seats.get_mut(session);
        let is_new = known.is_none();
        let mut moved = is_new;
        if let Some(seat) = known {
            moved = *seat.holder != *enter.holder.0;
            seat.holder = Arc::clone(&enter.holder.0);
        } else {
            let seat = Seat { member: id.to_owned(), user: enter.user.clone(), holder: Arc::clone(&enter.holder.0) };
            crowd.seats.insert(session.to_owned(), seat);
        }
        // A session stays the member that it is.
        let id = crowd.seats.get(session).map_or_else(|| id.to_owned(), |seat| seat.member.clone());
        let known = crowd.members.get(&id).cloned();
        let member = Arc::new(enter.member(&id, known.as_deref(), is_new));
        if known.as_ref() == Some(&member) {
            return Ok(moved);
        }
        crowd.members.insert(id, Arc::clone(&member));
        let what = if known.is_some() { What::Updated(member) } else { What::Joined(member) };
        self.tell(topic, now, what);
        Ok(true)
    }

    pub(crate) fn update(
        &mut self,
        topic: &TopicKey,
        session: &SessionId,
        change: Edit<'_>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let crowd = self.crowd_mut(topic).ok_or(Error::NotMember)?;
        let id = crowd.seats.get(session.as_str()).ok_or(Error::NotMember)?.member.clone();
        let known = crowd.members.get_mut(&id).ok_or(Error::NotMember)?;
        let data = change(known.data.as_deref())?;
        if data.as_deref().map(RawValue::get) == known.data.as_deref().map(RawValue::get) {
            return Ok(false);
        }
        *known = Arc::new(Member { data, ..Member::clone(known) });
        let what = What::Updated(Arc::clone(known));
        self.tell(topic, now, what);
        Ok(true)
    }

    /// `holder` holds a session from now on; the member that it is, and whether that was another one's.
    pub(crate) fn adopt(
        &mut self,
        topic: &TopicKey,
        session: &SessionId,
        holder: &Holder,
    ) -> Option<(Arc<Member>, bool)> {
        let crowd = self.crowd_mut(topic)?;
        let seat = crowd.seats.get_mut(session.as_str())?;
        let moved = *seat.holder != *holder.0;
        seat.holder = Arc::clone(&holder.0);
        crowd.members.get(&seat.member).map(|member| (Arc::clone(member), moved))
    }

    /// Takes seats in a topic away; says how many they were. A topic without members is forgotten.
    pub(crate) fn unseat(&mut self, topic: &TopicKey, whom: &Unseat<'_>, now: Timestamp) -> usize {
        let Some(crowd) = self.crowd(topic) else { return 0 };
        let is_meant = |session: &str, seat: &Seat| match whom {
            Unseat::Session(one, holder) => session == one.as_str() && *seat.holder == *holder.0,
            Unseat::User(user) => seat.user.as_ref() == Some(user),
            Unseat::HeldBy(dead) => dead.contains(&seat.holder),
        };
        let sessions: Vec<String> =
            crowd.seats.iter().filter(|(session, seat)| is_meant(session, seat)).map(|(s, _)| s.clone()).collect();
        for session in &sessions {
            let Some(crowd) = self.crowd_mut(topic) else { break };
            let Some(seat) = crowd.seats.remove(session) else { continue };
            let stays = crowd.seats.values().any(|other| other.member == seat.member);
            if !stays && let Some(member) = crowd.members.remove(&seat.member) {
                self.tell(topic, now, What::Left(member));
            }
        }
        self.forget_if_empty(topic);
        sessions.len()
    }

    fn forget_if_empty(&mut self, topic: &TopicKey) {
        let Some(topics) = self.topics.get_mut(topic.tenant.as_str()) else { return };
        if topics.get(topic.topic.as_str()).is_some_and(|crowd| crowd.seats.is_empty())
            && let Some(crowd) = topics.remove(topic.topic.as_str())
        {
            self.floor = self.floor.max(crowd.rev);
        }
        if topics.is_empty() {
            self.topics.remove(topic.tenant.as_str());
        }
    }

    /// Takes a user's seats out of every topic of the shard; says out of how many.
    pub(crate) fn remove_user(&mut self, tenant: &Tenant, user: &UserId, now: Timestamp) -> usize {
        let topics = self.topics_of(tenant).into_iter();
        topics.filter(|topic| self.unseat(topic, &Unseat::User(user), now) > 0).count()
    }

    /// Takes out the seats that these hold; says how many.
    pub(crate) fn bury(&mut self, dead: &[Arc<str>], now: Timestamp) -> usize {
        let tenants: Vec<Tenant> = self.topics.keys().filter_map(|tenant| Tenant::new(tenant).ok()).collect();
        let topics: Vec<TopicKey> = tenants.iter().flat_map(|tenant| self.topics_of(tenant)).collect();
        topics.iter().map(|topic| self.unseat(topic, &Unseat::HeldBy(dead), now)).sum()
    }
}

impl Crowd {
    fn new(floor: u64) -> Self {
        let (members, seats) = (BTreeMap::new(), BTreeMap::new());
        Self { rev: floor, floor, members_max: u64::MAX, occupancy_only: false, members, seats }
    }

    /// Counts a revision: the new one, the one before, how many there are, and how much is told.
    fn count(&mut self) -> (u64, u64, u64, Telling) {
        let prev = if self.rev == self.floor { 0 } else { self.rev };
        self.rev += 1;
        let count = self.members.len() as u64;
        let telling = Telling::of(count, self.members_max, self.occupancy_only);
        self.occupancy_only = telling == Telling::Occupancy;
        (self.rev, prev, count, telling)
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        let users: std::collections::BTreeSet<_> =
            self.seats.values().filter_map(|seat| seat.user.as_ref().map(UserId::as_str)).collect();
        Occupancy { count: self.members.len() as u64, users: users.len() as u64 }
    }

    pub(crate) fn page(&self, after: Option<&str>, limit: usize, bytes_max: usize) -> Members {
        let (rev, count) = (self.rev, self.members.len() as u64);
        let mut page = Members { rev, count, occupancy_only: self.occupancy_only, ..Members::default() };
        if page.occupancy_only || limit == 0 {
            return page;
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        for member in self.members.range::<str, _>((from, Bound::Unbounded)).map(|(_, member)| member) {
            bytes += size(member);
            let is_full = page.members.len() >= limit || bytes > bytes_max;
            if is_full && let Some(last) = page.members.last() {
                page.next = Some(last.id.clone());
                break;
            }
            page.members.push(Arc::clone(member));
        }
        page
    }
}

/// About what a member takes on a wire, in bytes.
fn size(member: &Member) -> usize {
    let raw = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    MEMBER_BYTES
        + member.id.len()
        + member.user.as_ref().map_or(0, |user| user.as_str().len())
        + raw(member.info.as_deref())
        + raw(member.data.as_deref())
}
