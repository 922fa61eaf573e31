//! What part of a history is asked for.

use fanfare_bus::Direction;
use fanfare_model::{Cursor, Position, Timestamp, Topic};
use utoipa::ToSchema;

use crate::Options;
use crate::fault::Fault;
use crate::params::Params;

/// The words for a direction.
#[derive(ToSchema)]
#[schema(as = Direction, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a parameter in the OpenAPI document")]
pub(crate) enum DirectionName {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// At the end of the log that reading moves away from.
    End,
    /// After the newest event: nothing is read but the head.
    Now,
    /// After this position, in the direction of reading.
    Position(Position),
    /// After this offset of whatever log there is, in the direction of reading.
    Offset(u64),
    /// With the first event at or after this time.
    Since(Timestamp),
    /// With the first of the last so many.
    Last(usize),
}

/// A request for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) begin: Begin,
    pub(super) direction: Direction,
    pub(super) limit: usize,
}

const KNOWN: [&str; 6] = ["from", "before", "since", "last", "limit", "direction"];
/// Parameters of which only one may say where to begin.
const BEGINS: [&str; 4] = ["from", "before", "since", "last"];

impl Request {
    pub(super) fn parse(query: Option<&str>, topic: &Topic, options: &Options) -> Result<Self, Fault> {
        let params = Params::parse(query, &KNOWN)?;
        let mut begins = BEGINS.iter().filter(|name| params.get(name).is_some());
        let begin = begins.next().copied();
        if let (Some(one), Some(other)) = (begin, begins.next()) {
            return Err(conflict(one, other));
        }
        let limit = params.count("limit", options.page_max)?;
        let direction = match params.get("direction") {
            None => None,
            Some("forward") => Some(Direction::Forward),
            Some("backward") => Some(Direction::Backward),
            Some(_) => return Err(Fault::invalid("parameter `direction` is neither `forward` nor `backward`")),
        };
        let limit_or_default = limit.unwrap_or(options.page_default);
        match (begin, direction) {
            (Some("before"), Some(Direction::Forward)) => Err(conflict("before", "direction=forward")),
            (Some("since"), Some(Direction::Backward)) => Err(conflict("since", "direction=backward")),
            (Some("last"), Some(Direction::Backward)) => Err(conflict("last", "direction=backward")),
            (Some("last"), _) if limit.is_some() => Err(conflict("last", "limit")),
            (Some("last"), _) => {
                let last = params.count("last", options.page_max)?.unwrap_or(options.page_default);
                Ok(Self { begin: Begin::Last(last), direction: Direction::Forward, limit: last })
            }
            (Some("before"), _) => {
                let before = params.number("before")?.unwrap_or_default();
                Ok(Self { begin: Begin::Offset(before), direction: Direction::Backward, limit: limit_or_default })
            }
            (Some("since"), _) => {
                let since = Timestamp::parse(params.get("since").unwrap_or_default())
                    .map_err(|invalid| Fault::invalid(format_args!("parameter `since`: {invalid}")))?;
                Ok(Self { begin: Begin::Since(since), direction: Direction::Forward, limit: limit_or_default })
            }
            (_, direction) => {
                let direction = direction.unwrap_or(Direction::Forward);
                let begin = match params.get("from") {
                    Some("start") if direction == Direction::Backward => {
                        return Err(conflict("from=start", "direction=backward"));
                    }
                    None | Some("start") => Begin::End,
                    Some("now") if direction == Direction::Backward => Begin::End,
                    Some("now") => Begin::Now,
                    Some(text) => place(text, topic)?,
                };
                Ok(Self { begin, direction, limit: limit_or_default })
            }
        }
    }
}

/// Reads an offset, a position or a cursor.
fn place(text: &str, topic: &Topic) -> Result<Begin, Fault> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Begin::Offset).map_err(|_| Fault::invalid("parameter `from` is too large an offset"));
    }
    let cursor: Cursor = text.parse().map_err(|_| {
        Fault::invalid("parameter `from` is none of `start`, `now`, an offset, a position and a cursor")
    })?;
    cursor
        .position_of(topic, true)
        .map(Begin::Position)
        .ok_or_else(|| Fault::invalid("parameter `from` is a cursor that does not name this topic"))
}

fn conflict(one: &str, other: &str) -> Fault {
    Fault::invalid(format_args!("parameters `{one}` and `{other}` contradict each other; give only one of them"))
        .with_code("conflicting_parameters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Request, String> {
        let topic = Topic::new("a").unwrap();
        Request::parse(Some(query), &topic, &Options::default()).map_err(|fault| format!("{fault:?}"))
    }

    #[test]
    fn where_to_begin() {
        use Direction::{Backward, Forward};
        for (query, begin, direction, limit) in [
            ("", Begin::End, Forward, 100),
            ("from=start&limit=7", Begin::End, Forward, 7),
            ("from=now", Begin::Now, Forward, 100),
            ("direction=backward", Begin::End, Backward, 100),
            ("from=now&direction=backward", Begin::End, Backward, 100),
            ("from=17", Begin::Offset(17), Forward, 100),
            ("from=17&direction=backward", Begin::Offset(17), Backward, 100),
            ("before=17", Begin::Offset(17), Backward, 100),
            ("since=1000", Begin::Since(Timestamp::from_seconds(1)), Forward, 100),
            ("last=3", Begin::Last(3), Forward, 3),
        ] {
            assert_eq!(parse(query), Ok(Request { begin, direction, limit }), "{query}");
        }
        let position = "k3J9.17.0x7".parse().unwrap();
        assert_eq!(parse("from=k3J9.17.0x7").unwrap().begin, Begin::Position(position));
    }

    #[test]
    fn contradictions_name_both() {
        for (query, one, other) in [
            ("from=1&before=2", "`from`", "`before`"),
            ("since=1&last=2", "`since`", "`last`"),
            ("from=1&since=2", "`from`", "`since`"),
            ("before=1&direction=forward", "`before`", "`direction=forward`"),
            ("since=1&direction=backward", "`since`", "`direction=backward`"),
            ("from=start&direction=backward", "`from=start`", "`direction=backward`"),
            ("last=1&limit=2", "`last`", "`limit`"),
        ] {
            let text = parse(query).unwrap_err();
            assert!(text.contains(one) && text.contains(other), "{query}: {text}");
        }
    }

    #[test]
    fn bad_values_name_the_parameter() {
        for (query, part) in [
            ("limit=0", "parameter `limit` is 0; it may be 1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("limit=x", "`limit` is not a whole number"),
            ("last=0", "parameter `last` is 0"),
            ("before=-1", "`before` is not a whole number"),
            ("since=yesterday", "parameter `since`: time is neither"),
            ("from=", "parameter `from` is none of"),
            ("from=yesterday", "parameter `from` is none of"),
            ("from=99999999999999999999", "too large an offset"),
            ("from=~AQ", "does not name this topic"),
            ("direction=up", "`direction` is neither"),
            ("form=1", "unknown parameter \\\"form\\\""),
            ("limit=1&limit=2", "`limit` is given more than once"),
            ("from=%ff", "is not percent-encoded UTF-8"),
        ] {
            let text = parse(query).unwrap_err();
            assert!(text.contains(part), "{query}: {text}");
        }
    }
}
