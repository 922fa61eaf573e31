//! Epoch, tag and position, and the text form `<epoch>.<offset>.<tag>`.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::names::EventId;
use crate::text::Invalid;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^3 > 2^16: every tag fits three digits.
const TAG_DIGITS: usize = 3;
/// 62^6 > 2^32: every epoch fits six digits.
const EPOCH_DIGITS_MAX: usize = 6;

/// Identity of one life of a topic's log. Two lives share one with a chance of 2⁻³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(NonZeroU32);

impl Epoch {
    /// A fresh random epoch.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// From its stored number; zero is none.
    pub fn from_u32(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, for storing.
    pub fn as_u32(self) -> u32 {
        self.0.get()
    }
}

/// A short hash of the event id at an offset. It exposes a log that lost its tail and used offsets
/// again under the same epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag(u16);

impl Tag {
    /// No tag: of "before everything" at offset 0, and of a place that was not learnt from an event (the end of
    /// a gap). It is not verified. No event has it.
    pub const NONE: Self = Self(0);

    /// The tag of an event id: the low 16 bits of its XXH3-64, 1 in place of 0.
    pub fn of(id: &EventId) -> Self {
        Self(((xxh3_64(id.as_str().as_bytes()) & 0xffff) as u16).max(1))
    }

    /// From its stored number.
    pub const fn from_u16(number: u16) -> Self {
        Self(number)
    }

    /// The number, for storing.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

/// A place in a topic's log: *at* the event with this offset, so that reading continues after it.
/// Offset 0 is before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// The offset of the last event seen.
    pub offset: u64,
    /// The tag of that event's id.
    pub tag: Tag,
}

impl Position {
    /// The position before the first event of `epoch`.
    pub const fn origin(epoch: Epoch) -> Self {
        Self { epoch, offset: 0, tag: Tag::NONE }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut epoch = [0; EPOCH_DIGITS_MAX];
        let mut tag = [0; TAG_DIGITS];
        write!(
            f,
            "{}.{}.{}",
            base62(self.epoch.as_u32(), &mut epoch, 1),
            self.offset,
            base62(u32::from(self.tag.as_u16()), &mut tag, TAG_DIGITS)
        )
    }
}

impl std::str::FromStr for Position {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let problem = || Invalid::new("position", "is not of the form <epoch>.<offset>.<tag>");
        let mut parts = text.split('.');
        let (Some(epoch), Some(offset), Some(tag), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(problem());
        };
        // One text for one position: no sign, no leading zero.
        if !offset.bytes().all(|b| b.is_ascii_digit()) || (offset.len() > 1 && offset.starts_with('0')) {
            return Err(problem());
        }
        if epoch.starts_with('0') || tag.len() != TAG_DIGITS {
            return Err(problem());
        }
        Ok(Self {
            epoch: from_base62(epoch, EPOCH_DIGITS_MAX).and_then(Epoch::from_u32).ok_or_else(problem)?,
            offset: offset.parse().map_err(|_| problem())?,
            tag: from_base62(tag, TAG_DIGITS).and_then(|n| u16::try_from(n).ok()).map(Tag).ok_or_else(problem)?,
        })
    }
}

impl TryFrom<String> for Position {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

/// `number` in base 62, at least `digits_min` digits, written to the end of `buffer`.
fn base62(mut number: u32, buffer: &mut [u8], digits_min: usize) -> &str {
    let mut at = buffer.len();
    while number > 0 || buffer.len() - at < digits_min {
        at -= 1;
        buffer[at] = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or_default()
}

fn from_base62(text: &str, digits_max: usize) -> Option<u32> {
    if text.is_empty() || text.len() > digits_max {
        return None;
    }
    let number = text.bytes().try_fold(0_u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        Some(number * 62 + u64::from(digit))
    })?;
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(epoch in 1_u32.., offset: u64, tag: u16) {
            let position = Position { epoch: Epoch::from_u32(epoch).unwrap(), offset, tag: Tag(tag) };
            let text = position.to_string();
            prop_assert_eq!(text.parse::<Position>().unwrap(), position);
            prop_assert!(text.len() <= 6 + 1 + 20 + 1 + 3);
        }

        #[test]
        fn any_text_is_read_or_refused_and_never_read_as_another(text in "[0-9A-Za-z.~-]{0,40}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
