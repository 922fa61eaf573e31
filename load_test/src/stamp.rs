//! What stands in every payload: who published it, as which of how many, and when it was *meant* to be sent.
//!
//! The text is plain ASCII without quotes or escapes, so that it passes through JSON, SSE and any template unchanged:
//!
//! ```text
//! #FL rrrr tttttt pppp ssssssss aaaaaaaaaaaa llll cccc filler…      (without the blanks)
//! ```
//!
//! run, topic, publisher, sequence, intended time in microseconds, length of the whole text and a check sum, all in
//! hexadecimal of fixed width. The filler is the alphabet, beginning at a letter that the sequence decides, so that a
//! payload whose middle was lost or exchanged is noticed.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Begins every stamp and stands nowhere else on the wire.
pub(crate) const MARK: &[u8] = b"#FL";
/// The bytes of a payload without filler: the least that a payload may have.
pub(crate) const BYTES: usize = 3 + 4 + 6 + 4 + 8 + 12 + 4 + 4;
/// The most that a payload may have: what its length field holds.
pub(crate) const BYTES_MAX: usize = 0xffff;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
/// Every filler is a slice of this.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| (b'a'..=b'z').cycle().take(BYTES_MAX + 26).collect());

/// The identity of one published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells the events of this run from what an earlier one left behind.
    pub(crate) run: u16,
    /// The number of its topic; 24 bits.
    pub(crate) topic: u32,
    /// The number of its publisher.
    pub(crate) publisher: u16,
    /// Counts the events of this publisher on this topic, from 1.
    pub(crate) sequence: u32,
    /// When the schedule wanted it to be sent ([`crate::clock::now`]); 48 bits.
    pub(crate) at: u64,
}

/// Why a payload is not what was published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl Stamp {
    /// Appends the payload: exactly `bytes` of text, or [`BYTES`] if that is more.
    pub(crate) fn write(&self, bytes: usize, out: &mut Vec<u8>) {
        let length = bytes.clamp(BYTES, BYTES_MAX);
        out.extend_from_slice(MARK);
        hex(out, u64::from(self.run), 4);
        hex(out, u64::from(self.topic), 6);
        hex(out, u64::from(self.publisher), 4);
        hex(out, u64::from(self.sequence), 8);
        hex(out, self.at, 12);
        hex(out, length as u64, 4);
        hex(out, u64::from(self.check(length)), 4);
        let letter = self.letter();
        out.extend_from_slice(&FILLER[letter..letter + length - BYTES]);
    }

    /// The first payload in `text`, and where it ends; `None` if there is none.
    pub(crate) fn find(text: &[u8]) -> Option<(Result<Self, Corrupt>, usize)> {
        let start = FINDER.find(text)?;
        let rest = &text[start + MARK.len()..];
        let Some((stamp, length)) = Self::fields(rest).filter(|(_, length)| text.len() - start >= *length) else {
            return Some((Err(Corrupt), start + MARK.len()));
        };
        let letter = stamp.letter();
        let intact = text[start + BYTES..start + length] == FILLER[letter..letter + length - BYTES];
        Some((if intact { Ok(stamp) } else { Err(Corrupt) }, start + length))
    }

    /// The fields behind the mark and the length they claim, if the check sum fits.
    fn fields(text: &[u8]) -> Option<(Self, usize)> {
        let mut rest = text.get(..BYTES - MARK.len())?;
        let mut next = |digits| number(rest.split_off(..digits)?);
        let stamp = Self {
            run: u16::try_from(next(4)?).ok()?,
            topic: u32::try_from(next(6)?).ok()?,
            publisher: u16::try_from(next(4)?).ok()?,
            sequence: u32::try_from(next(8)?).ok()?,
            at: next(12)?,
        };
        let length = usize::try_from(next(4)?).ok()?;
        (length >= BYTES && next(4)? == u64::from(stamp.check(length))).then_some((stamp, length))
    }

    fn check(&self, length: usize) -> u16 {
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        for part in [
            u64::from(self.run) << 32 | u64::from(self.topic),
            u64::from(self.publisher) << 32 | u64::from(self.sequence),
            self.at,
            length as u64,
        ] {
            sum = (sum ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        u16::try_from(sum >> 48).unwrap_or_default()
    }

    fn letter(&self) -> usize {
        self.sequence as usize % 26
    }
}

fn hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..digits).rev().map(|place| DIGITS[usize::from((value >> (4 * place)).to_le_bytes()[0] & 15)]));
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { run: 0xab, topic: 70_000, publisher: 3, sequence: 12_345, at: 98_765_432_101 };

    fn payload(bytes: usize) -> Vec<u8> {
        let mut out = b"{\"data\":\"".to_vec();
        STAMP.write(bytes, &mut out);
        out.extend_from_slice(b"\"}");
        out
    }

    #[test]
    fn a_payload_is_found_in_what_surrounds_it() {
        for bytes in [0, BYTES, BYTES + 1, 128, 4096, BYTES_MAX] {
            let text = payload(bytes);
            let length = bytes.max(BYTES);
            assert_eq!(text.len(), 9 + length + 2, "{bytes}");
            assert_eq!(Stamp::find(&text), Some((Ok(STAMP), 9 + length)));
        }
        assert_eq!(Stamp::find(b"no mark # F L in here"), None);
    }

    #[test]
    fn every_exchanged_byte_is_noticed() {
        let whole = payload(128);
        for at in 9 + MARK.len()..9 + 128 {
            let mut text = whole.clone();
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(Stamp::find(&text).map(|(found, _)| found), Some(Err(Corrupt)), "byte {at}");
        }
    }

    #[test]
    fn a_payload_that_was_cut_is_noticed() {
        let whole = payload(128);
        for end in 9 + MARK.len()..9 + 128 {
            assert_eq!(Stamp::find(&whole[..end]).map(|(found, _)| found), Some(Err(Corrupt)), "cut at {end}");
        }
    }

    #[test]
    fn a_lost_middle_is_noticed() {
        let mut text = payload(256);
        text.drain(100..110);
        assert_eq!(Stamp::find(&text).map(|(found, _)| found), Some(Err(Corrupt)));
    }
}
