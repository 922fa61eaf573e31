//! Reading events that are kept.

use fanfare_auth::{Action, Principal};
use fanfare_bus::{Direction, Read, ReadFrom};
use fanfare_model::{Invalid, TopicKey};

use super::{Anchor, Client, Done, Error, Failure, HistoryPage, HistoryQuery, Limits, Place, Reply};
use crate::Node;

/// How many events a client gets that does not say how many: a screenful or two.
const EVENTS_DEFAULT: usize = 100;

impl Client {
    pub(super) async fn history(&mut self, query: HistoryQuery) -> Result<Done, Failure> {
        let (principal, host) = (self.principal()?, &self.host);
        Ok(Done::quiet(Reply::History(read_history(&host.node, &host.limits, &principal, query).await?)))
    }
}

/// Reads events that are kept, if `principal` may.
pub async fn read_history(
    node: &Node,
    limits: &Limits,
    principal: &Principal,
    query: HistoryQuery,
) -> Result<HistoryPage, Error> {
    principal.authorize(Action::History, &query.topic)?;
    let plan = Plan::of(&query, limits.history_events_max)?;
    let read = Read {
        topic: TopicKey::new(principal.tenant.clone(), query.topic.clone()),
        from: plan.from,
        direction: plan.direction,
        limit: plan.limit,
        bytes_max: limits.history_bytes_max,
        age_max: node.bus.policy(&query.topic).keep.age_max,
    };
    let mut page = node.bus.read(read).await?;
    if let Some(Place::Position(position)) = plan.place
        && position.epoch != page.head.last.epoch
    {
        return Err(Error::AnotherLife);
    }
    if plan.turn {
        page.events.reverse();
    }
    Ok(HistoryPage {
        topic: query.topic,
        events: page.events,
        more: page.more && plan.limit > 0,
        position: page.head.last,
        first: page.head.first,
    })
}

/// How a query is read from the log.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    from: ReadFrom,
    direction: Direction,
    limit: usize,
    /// What the query named, to be checked against the log's life.
    place: Option<Place>,
    /// Told in the other order than read.
    turn: bool,
}

impl Plan {
    fn of(query: &HistoryQuery, events_max: usize) -> Result<Self, Invalid> {
        let only = |direction: Direction| match query.direction {
            Some(other) if other != direction => Err(Invalid::new(
                "direction",
                "goes towards the anchor; `after` reads forward, `before` and `last` read backward",
            )),
            _ => Ok(direction),
        };
        let allowed = |what, count| {
            if (1..=events_max).contains(&count) {
                return Ok(count);
            }
            Err(Invalid::new(what, format_args!("is {count}; 1 to {events_max} are allowed")))
        };
        let limit = query.limit.map_or(Ok(EVENTS_DEFAULT.min(events_max)), |limit| allowed("limit", limit))?;
        let offset = |place: Place| match place {
            Place::Offset(offset) => offset,
            Place::Position(position) => position.offset,
        };
        let plan = |from, direction| Self { from, direction, limit, place: None, turn: false };
        Ok(match query.anchor {
            Anchor::End => plan(ReadFrom::End, query.direction.unwrap_or(Direction::Forward)),
            Anchor::Since(time) => plan(ReadFrom::Time(time), query.direction.unwrap_or(Direction::Forward)),
            Anchor::After(place) => {
                let from = ReadFrom::Offset(offset(place).saturating_add(1));
                Self { place: Some(place), ..plan(from, only(Direction::Forward)?) }
            }
            Anchor::Before(place) => {
                let before = offset(place);
                let from = ReadFrom::Offset(before.saturating_sub(1));
                // Nothing lies before the first offset: only the head is read.
                let limit = if before <= 1 { 0 } else { limit };
                Self { place: Some(place), limit, ..plan(from, only(Direction::Backward)?) }
            }
            Anchor::Last(count) => {
                if query.limit.is_some() {
                    return Err(Invalid::new("limit", "makes no sense beside `last`, which is one already"));
                }
                // Asked as in `from`: told from old to new, whichever way it is read.
                let limit = allowed("last", count)?;
                Self { limit, turn: true, ..plan(ReadFrom::End, only(Direction::Backward)?) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::Topic;

    fn plan(anchor: Anchor, direction: Option<Direction>, limit: Option<usize>) -> Result<Plan, Invalid> {
        Plan::of(&HistoryQuery { topic: Topic::new("a").unwrap(), anchor, direction, limit }, 1000)
    }

    #[test]
    fn anchors_say_where_and_which_way() {
        let read = |anchor, limit| plan(anchor, None, limit).map(|p| (p.from, p.direction, p.limit, p.turn)).unwrap();
        let (forward, backward) = (Direction::Forward, Direction::Backward);
        assert_eq!(read(Anchor::End, None), (ReadFrom::End, forward, 100, false));
        assert_eq!(read(Anchor::After(Place::Offset(7)), None), (ReadFrom::Offset(8), forward, 100, false));
        assert_eq!(read(Anchor::Before(Place::Offset(7)), Some(3)), (ReadFrom::Offset(6), backward, 3, false));
        assert_eq!(read(Anchor::Before(Place::Offset(1)), Some(3)), (ReadFrom::Offset(0), backward, 0, false));
        assert_eq!(read(Anchor::Last(5), None), (ReadFrom::End, backward, 5, true));
    }

    #[test]
    fn nonsense_is_refused() {
        for (anchor, direction, limit) in [
            (Anchor::After(Place::Offset(7)), Some(Direction::Backward), None),
            (Anchor::Before(Place::Offset(7)), Some(Direction::Forward), None),
            (Anchor::End, None, Some(0)),
            (Anchor::End, None, Some(1001)),
            (Anchor::Last(0), None, None),
            (Anchor::Last(5), None, Some(5)),
        ] {
            assert!(plan(anchor, direction, limit).is_err(), "{anchor:?} {direction:?} {limit:?}");
        }
    }
}
