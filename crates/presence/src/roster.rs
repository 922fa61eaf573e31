//! The sessions of this node that have entered something, and those among them that broke off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use fanfare_model::{SessionId, Tenant, Topic, UserId};
use metrics::Gauge;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// A session.
pub(crate) type Name = (Tenant, SessionId);

/// Who is here.
pub(crate) struct Roster {
    inner: Mutex<Inner>,
    told: Gauge,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<Name, Seat>,
    due: BinaryHeap<Reverse<(Instant, u64, Name)>>,
    absences: u64,
}

/// A session that has entered something.
#[derive(Default)]
struct Seat {
    /// `None`: it is connected.
    away: Option<Away>,
    /// What it enters again if the engine has forgotten it; kept only where that may be.
    entered: BTreeMap<Topic, Entered>,
}

/// As what a session has entered a topic.
#[derive(Debug, Clone)]
pub(crate) struct Entered {
    /// Whose session it is.
    pub(crate) user: Option<UserId>,
    /// What the token says of the user.
    pub(crate) info: Option<Arc<RawValue>>,
    /// What the member says of itself.
    pub(crate) data: Option<Box<RawValue>>,
}

/// An absence of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away {
    /// Since when.
    pub(crate) since: Instant,
    /// Whether it said goodbye, so that nobody waits for it.
    pub(crate) for_good: bool,
    /// Tells it from another absence of the same session.
    number: u64,
}

impl Roster {
    /// Nobody is here. `told` is told how many topics the sessions have entered, where that is kept.
    pub(crate) fn new(told: Gauge) -> Self {
        Self { inner: Mutex::default(), told }
    }

    /// The session is about to enter something.
    pub(crate) fn is_here(&self, tenant: &Tenant, session: &SessionId) {
        self.inner.lock().sessions.entry((tenant.clone(), session.clone())).or_default().away = None;
    }

    /// The session has entered a topic as this.
    pub(crate) fn has_entered(&self, name: &Name, topic: &Topic, entered: Entered) {
        if let Some(seat) = self.inner.lock().sessions.get_mut(name)
            && seat.entered.insert(topic.clone(), entered).is_none()
        {
            self.told.increment(1);
        }
    }

    /// The session says this of itself in a topic.
    pub(crate) fn says(&self, name: &Name, topic: &Topic, data: Option<Box<RawValue>>) {
        let mut inner = self.inner.lock();
        if let Some(entered) = inner.sessions.get_mut(name).and_then(|seat| seat.entered.get_mut(topic)) {
            entered.data = data;
        }
    }

    /// The session is not in a topic any more.
    pub(crate) fn has_left(&self, name: &Name, topic: &Topic) {
        if let Some(seat) = self.inner.lock().sessions.get_mut(name)
            && seat.entered.remove(topic).is_some()
        {
            self.told.decrement(1);
        }
    }

    /// The sessions of a user are in nothing any more.
    pub(crate) fn has_left_all(&self, tenant: &Tenant, user: &UserId) {
        let mut inner = self.inner.lock();
        for (_, seat) in inner.sessions.iter_mut().filter(|((of, _), _)| of == tenant) {
            let before = seat.entered.len();
            seat.entered.retain(|_, entered| entered.user.as_ref() != Some(user));
            self.told.decrement((before - seat.entered.len()) as f64);
        }
    }

    /// Where every session is in.
    pub(crate) fn all_entered(&self) -> Vec<(Name, Topic)> {
        let inner = self.inner.lock();
        let of = |(name, seat): (&Name, &Seat)| -> Vec<_> {
            seat.entered.keys().map(|topic| (name.clone(), topic.clone())).collect()
        };
        inner.sessions.iter().flat_map(of).collect()
    }

    /// As what the session is in a topic, if it is.
    pub(crate) fn entered(&self, name: &Name, topic: &Topic) -> Option<Entered> {
        self.inner.lock().sessions.get(name)?.entered.get(topic).cloned()
    }

    /// The session broke off, or said goodbye. Says whether it had entered anything.
    pub(crate) fn is_away(&self, tenant: &Tenant, session: &SessionId, for_good: bool) -> Option<Away> {
        let name = (tenant.clone(), session.clone());
        let mut inner = self.inner.lock();
        let number = inner.absences + 1;
        let away = &mut inner.sessions.get_mut(&name)?.away;
        let now = Instant::now();
        let since = away.map_or(now, |away| away.since);
        let away = *away.insert(Away { since, for_good, number });
        inner.absences = number;
        inner.due.push(Reverse((now, number, name)));
        Some(away)
    }

    /// The session is back. Says whether it was away.
    pub(crate) fn is_back(&self, tenant: &Tenant, session: &SessionId) -> bool {
        let mut inner = self.inner.lock();
        inner.sessions.get_mut(&(tenant.clone(), session.clone())).is_some_and(|seat| seat.away.take().is_some())
    }

    /// Whether the session may be in something.
    pub(crate) fn knows(&self, tenant: &Tenant, session: &SessionId) -> bool {
        self.inner.lock().sessions.contains_key(&(tenant.clone(), session.clone()))
    }

    /// Looks at this absence again at `at`.
    pub(crate) fn look_again(&self, name: Name, away: Away, at: Instant) {
        self.inner.lock().due.push(Reverse((at, away.number, name)));
    }

    /// The session is in nothing any more, unless it has come back since.
    pub(crate) fn forget(&self, name: &Name, away: Away) {
        let mut inner = self.inner.lock();
        if inner.sessions.get(name).is_some_and(|seat| seat.away == Some(away))
            && let Some(seat) = inner.sessions.remove(name)
        {
            self.told.decrement(seat.entered.len() as f64);
            if inner.sessions.is_empty() {
                inner.sessions.shrink_to(64);
                inner.due.shrink_to(64);
            }
        }
    }

    /// Whether this absence goes on.
    pub(crate) fn is_still_away(&self, name: &Name, away: Away) -> bool {
        self.inner.lock().sessions.get(name).is_some_and(|seat| seat.away == Some(away))
    }

    /// When the next absence is to be looked at.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.inner.lock().due.peek().map(|Reverse((at, ..))| *at)
    }

    /// An absence that is to be looked at now.
    pub(crate) fn take_due(&self, now: Instant) -> Option<(Name, Away)> {
        let mut inner = self.inner.lock();
        while inner.due.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, number, name))) = inner.due.pop() else { break };
            // It may have come back, or be away another time.
            if let Some(away) = inner.sessions.get(&name).and_then(|seat| seat.away)
                && away.number == number
            {
                return Some((name, away));
            }
        }
        None
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.inner.lock().sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_ends_with_a_return() {
        let roster = Roster::new(Gauge::noop());
        let (tenant, session) = (Tenant::default(), SessionId::generate());
        assert_eq!(roster.is_away(&tenant, &session, false), None, "it had entered nothing");
        roster.is_here(&tenant, &session);
        let first = roster.is_away(&tenant, &session, false).unwrap();
        assert!(roster.is_back(&tenant, &session));
        assert_eq!(roster.take_due(Instant::now()), None);
        let second = roster.is_away(&tenant, &session, false).unwrap();
        let (name, found) = roster.take_due(Instant::now()).unwrap();
        assert_eq!(found, second);
        roster.forget(&name, first);
        assert_eq!(roster.len(), 1, "that absence is over");
        roster.forget(&name, second);
        assert_eq!((roster.len(), roster.next_due()), (0, None));
    }
}
