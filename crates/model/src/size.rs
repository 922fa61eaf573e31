//! Sizes as they stand in the configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Invalid;

/// A number of bytes: `"64KiB"`, `"1MiB"`, `"2GiB"`, `"512B"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl ByteSize {
    /// Kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// Mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes, for lengths in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let problem = || {
            Invalid::new(
                "size",
                format_args!(
                    "{text:?} is not a number with a unit; write it like \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\""
                ),
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
        let (number, unit) = text.split_at(digits);
        let bytes = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes).ok_or_else(problem)?;
        let number: u64 = number.parse().map_err(|_| problem())?;
        number.checked_mul(bytes).map(Self).ok_or_else(problem)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, per) =
            UNITS.iter().rev().find(|(_, per)| self.0 != 0 && self.0.is_multiple_of(*per)).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / per)
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
