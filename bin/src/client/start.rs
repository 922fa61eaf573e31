//! Where to begin reading, as written after `--from`.

use std::str::FromStr;

use fanfare_model::{Cursor, Timestamp};
use serde_json::{Value, json};

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the next event.
    Now,
    /// With the oldest that is kept.
    Oldest,
    /// With the last so many.
    Last(u32),
    /// With the first at or after this time.
    Since(Timestamp),
    /// After a position or cursor.
    After(String),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "now" => Ok(Self::Now),
            None if text == "start" => Ok(Self::Oldest),
            Some(("last", count)) => {
                let count = count.parse().map_err(|_| format!("{count:?} is not a number; write last:50"))?;
                Ok(Self::Last(count))
            }
            Some(("since", time)) => Timestamp::parse(time).map(Self::Since).map_err(|error| error.to_string()),
            _ => match text.parse::<Cursor>() {
                Ok(_) => Ok(Self::After(text.to_owned())),
                Err(_) => Err(format!(
                    "{text:?} is none of now, start, last:N, since:TIME (2026-11-21T10:00:00Z) or a cursor"
                )),
            },
        }
    }
}

impl Start {
    /// As it stands in a URL and in bodies of the SSE door.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::Oldest => "start".to_owned(),
            Self::Last(count) => format!("last:{count}"),
            Self::Since(time) => format!("since:{time}"),
            Self::After(cursor) => cursor.clone(),
        }
    }

    /// As it stands in frames of the WebSocket door.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Now => json!("now"),
            Self::Oldest => json!("start"),
            Self::Last(count) => json!({ "last": count }),
            Self::Since(time) => json!({ "since": time.to_string() }),
            Self::After(cursor) => json!(cursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_others_are_told() {
        assert_eq!("now".parse(), Ok(Start::Now));
        assert_eq!("last:5".parse::<Start>().unwrap().to_json(), json!({ "last": 5 }));
        assert_eq!(
            "since:2026-11-21T10:00:00Z".parse::<Start>().unwrap().to_json(),
            json!({ "since": "2026-11-21T10:00:00Z" })
        );
        assert!(matches!("since:yesterday".parse::<Start>(), Err(text) if text.contains("RFC 3339")));
        assert!(matches!("7.5.001".parse::<Start>(), Ok(Start::After(_))));
        assert!("last:many".parse::<Start>().is_err() && "soon".parse::<Start>().is_err());
    }
}
