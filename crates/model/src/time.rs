//! Points in time and spans, as they stand on the wire and in the configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Invalid;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. A plain number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970, as in a JWT.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 (`2026-11-21T10:00:00Z`), or a whole number of milliseconds since 1970.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Ok(millis) = text.parse::<i64>() {
            return millis.checked_mul(1_000).map(Self).ok_or_else(|| Invalid::new("time", "is out of range"));
        }
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_microsecond()))
            .map_err(|_| Invalid::new("time", "is neither RFC 3339 (2026-11-21T10:00:00Z) nor milliseconds since 1970"))
    }

    /// This time plus `span`, without overflow.
    #[must_use]
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time minus `span`, without overflow.
    #[must_use]
    pub fn minus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}µs", self.0),
        }
    }
}

/// A span of time as it stands in the configuration: `"500ms"`, `"30s"`, `"15m"`, `"24h"`, `"7d"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(pub std::time::Duration);

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

impl Duration {
    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// The span for the standard library.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl std::str::FromStr for Duration {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let problem = || {
            Invalid::new(
                "duration",
                format_args!(
                    "{text:?} is not a number with a unit; write it like \"500ms\", \"30s\", \"15m\", \"24h\" or \"7d\""
                ),
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
        let (number, unit) = text.split_at(digits);
        let millis = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis).ok_or_else(problem)?;
        let number: u64 = number.parse().map_err(|_| problem())?;
        number.checked_mul(millis).map(Self::from_millis).ok_or_else(problem)
    }
}

impl TryFrom<String> for Duration {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(span: Duration) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, per) = UNITS
            .iter()
            .rev()
            .find(|(_, per)| millis != 0 && millis.is_multiple_of(u128::from(*per)))
            .unwrap_or(&UNITS[1]);
        write!(f, "{}{unit}", millis / u128::from(*per))
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
