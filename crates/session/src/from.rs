//! Where a client wants to begin, as it writes it.

use std::fmt;

use fanfare_model::{Cursor, Invalid, StartFrom, Timestamp, Topic};
use serde::{Deserialize, Serialize};

/// Where to begin, for one or several topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum From {
    /// `now`
    Now,
    /// `start`
    Start,
    /// `last:N`
    Last(u32),
    /// `since:TIME`
    Since(Timestamp),
    /// A position or a cursor.
    Cursor(Cursor),
}

impl From {
    /// Reads the text form: `now`, `start`, `last:50`, `since:2026-11-21T10:00:00Z`, or a cursor.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.split_once(':') {
            None if text == "now" => Ok(Self::Now),
            None if text == "start" => Ok(Self::Start),
            Some(("last", n)) => Ok(Self::Last(
                n.parse().map_err(|_| Invalid::new("from", "has a `last:` without a whole number; write `last:50`"))?,
            )),
            Some(("since", time)) => Timestamp::parse(time).map(Self::Since),
            _ => text.parse().map(Self::Cursor).map_err(|_| {
                Invalid::new(
                    "from",
                    "is none of `now`, `start`, `last:50`, `since:2026-11-21T10:00:00Z` and is not a cursor",
                )
            }),
        }
    }

    /// Where `topic` begins. `only`: no other topic is asked for with this. A cursor that does not name the topic
    /// says nothing about it, so it begins now.
    pub fn for_topic(&self, topic: &Topic, only: bool) -> StartFrom {
        match self {
            Self::Now => StartFrom::Now,
            Self::Start => StartFrom::Start,
            Self::Last(n) => StartFrom::Last(*n),
            Self::Since(time) => StartFrom::Since(*time),
            Self::Cursor(cursor) => cursor.position_of(topic, only).map_or(StartFrom::Now, StartFrom::After),
        }
    }
}

impl fmt::Display for From {
    /// The text form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Start => f.write_str("start"),
            Self::Last(n) => write!(f, "last:{n}"),
            Self::Since(time) => write!(f, "since:{time}"),
            Self::Cursor(cursor) => fmt::Display::fmt(cursor, f),
        }
    }
}

impl TryFrom<String> for From {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl std::convert::From<From> for String {
    fn from(from: From) -> Self {
        from.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        assert_eq!(From::parse("now"), Ok(From::Now));
        assert_eq!(From::parse("start"), Ok(From::Start));
        assert_eq!(From::parse("last:5"), Ok(From::Last(5)));
        assert_eq!(From::parse("since:1000"), Ok(From::Since(Timestamp::from_seconds(1))));
        assert!(matches!(From::parse("k3J9.17.0x7"), Ok(From::Cursor(_))));
        for bad in ["", "later", "last:", "last:-1", "since:abc", "k3J9.17"] {
            assert!(From::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["now", "start", "last:5", "since:2026-11-21T10:00:00.123456Z", "k3J9.17.0x7"] {
            let from = From::parse(text).unwrap();
            assert_eq!(From::parse(&from.to_string()), Ok(from), "{text}");
        }
    }
}
