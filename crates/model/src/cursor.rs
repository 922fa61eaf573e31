//! Cursors: positions of several topics in one URL-safe string.
//!
//! The grammar is specified in `docs/protocol/cursor.md`. A cursor never carries authority: whoever
//! presents one gets only the topics they ask for and may read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::position::{Epoch, Position, Tag};
use crate::text::Invalid;
use crate::topic::Topic;

/// Version byte of the binary form; a reader refuses others.
const VERSION: u8 = 1;
/// Marks the form for several topics; a bare position cannot begin with it.
const MARK: char = '~';
/// The most bytes of text that are looked at. 1,000 topics need about 16 KB.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// 48 bits of XXH3-64 of a topic's name: enough to tell the topics of one stream apart, in 6 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicTag(u64);

impl TopicTag {
    /// The tag of a topic's name.
    pub fn of(topic: &Topic) -> Self {
        Self(xxh3_64(topic.as_str().as_bytes()) & 0xffff_ffff_ffff)
    }
}

/// Positions of one or several topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// A bare position. It belongs to the one topic that is asked for with it.
    One(Position),
    /// Positions by topic, in the order given.
    Many(SmallVec<[(TopicTag, Position); 4]>),
}

impl Cursor {
    /// The position that this cursor holds for `topic`. A bare position answers only if `topic` is the
    /// only one asked for.
    pub fn position_of(&self, topic: &Topic, only: bool) -> Option<Position> {
        match self {
            Self::One(position) => only.then_some(*position),
            Self::Many(entries) => {
                let tag = TopicTag::of(topic);
                entries.iter().find(|(t, _)| *t == tag).map(|(_, position)| *position)
            }
        }
    }

    /// Writes the text of a cursor over `entries` to the end of `out`; a single entry is still written
    /// in the form that names its topic. Needs no allocation but `out`'s own.
    pub fn write_many(entries: &[(TopicTag, Position)], out: &mut String) {
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        bytes.push(VERSION);
        // Topics that were never purged share the store's epoch, so it is written once a run.
        let mut epoch = None;
        for (topic, position) in entries {
            let changed = epoch != Some(position.epoch);
            write_varint(&mut bytes, position.offset);
            bytes.extend_from_slice(&topic.0.to_be_bytes()[2..]);
            let tag = position.tag.as_u16().to_be_bytes();
            bytes.extend_from_slice(&tag);
            bytes.push(u8::from(changed));
            if changed {
                bytes.extend_from_slice(&position.epoch.as_u32().to_be_bytes());
                epoch = Some(position.epoch);
            }
        }
        out.push(MARK);
        URL_SAFE_NO_PAD.encode_string(&bytes, out);
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(position) => position.fmt(f),
            Self::Many(entries) => {
                let mut text = String::new();
                Self::write_many(entries, &mut text);
                f.write_str(&text)
            }
        }
    }
}

impl std::str::FromStr for Cursor {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let problem = |what: &str| Invalid::new("cursor", what);
        if text.len() > TEXT_BYTES_MAX {
            return Err(problem("is too long"));
        }
        let Some(encoded) = text.strip_prefix(MARK) else {
            return text
                .parse()
                .map(Self::One)
                .map_err(|_| problem("is neither a position nor of the form ~<base64url>"));
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| problem("is not base64url"))?;
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Err(problem("is of a version that this server does not know"));
        };
        let mut entries = SmallVec::new();
        let mut epoch: Option<Epoch> = None;
        while !rest.is_empty() {
            let entry = read_entry(&mut rest, &mut epoch)
                .ok_or_else(|| problem("ends in the middle of an entry or holds a bad one"))?;
            entries.push(entry);
        }
        Ok(Self::Many(entries))
    }
}

fn read_entry(rest: &mut &[u8], epoch: &mut Option<Epoch>) -> Option<(TopicTag, Position)> {
    let offset = read_varint(rest)?;
    let mut topic = [0; 8];
    topic[2..].copy_from_slice(take(rest, 6)?);
    let tag = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    match take(rest, 1)? {
        [0] => {}
        [1] => *epoch = Some(Epoch::from_u32(u32::from_be_bytes(take(rest, 4)?.try_into().ok()?))?),
        _ => return None,
    }
    Some((TopicTag(u64::from_be_bytes(topic)), Position { epoch: (*epoch)?, offset, tag: Tag::from_u16(tag) }))
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(head)
}

/// LEB128.
fn write_varint(bytes: &mut SmallVec<[u8; 256]>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            // One text for one number: no padding with empty groups.
            return (byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = Position> {
        (prop_oneof![Just(7_u32), 1_u32..], any::<u64>(), any::<u16>()).prop_map(|(epoch, offset, tag)| Position {
            epoch: Epoch::from_u32(epoch).unwrap(),
            offset,
            tag: Tag::from_u16(tag),
        })
    }

    proptest! {
        #[test]
        fn many_round_trip(positions in prop::collection::vec(position(), 0..40)) {
            let entries: Vec<_> = positions.into_iter().enumerate()
                .map(|(i, p)| (TopicTag::of(&Topic::new(format!("t:{i}")).unwrap()), p)).collect();
            let mut text = String::new();
            Cursor::write_many(&entries, &mut text);
            let cursor: Cursor = text.parse().unwrap();
            for (i, (_, position)) in entries.iter().enumerate() {
                let topic = Topic::new(format!("t:{i}")).unwrap();
                prop_assert_eq!(cursor.position_of(&topic, false), Some(*position));
            }
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)));
            prop_assert_eq!(cursor.to_string(), text);
        }

        #[test]
        fn hostile_text_never_panics(text in ".{0,200}") {
            let _ = text.parse::<Cursor>();
        }

        #[test]
        fn hostile_bytes_are_refused_or_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let text = format!("~{}", URL_SAFE_NO_PAD.encode([&[VERSION][..], &bytes].concat()));
            if let Ok(Cursor::Many(entries)) = text.parse::<Cursor>() {
                let mut again = String::new();
                Cursor::write_many(&entries, &mut again);
                prop_assert_eq!(again.parse::<Cursor>().unwrap(), Cursor::Many(entries));
            }
        }
    }

    #[test]
    fn eight_topics_fit_what_cors_lets_through_without_preflight() {
        let epoch = Epoch::from_u32(u32::MAX).unwrap();
        let entries: Vec<_> = (0..8)
            .map(|i| {
                (
                    TopicTag::of(&Topic::new(format!("t:{i}")).unwrap()),
                    Position { epoch, offset: 999, tag: Tag::from_u16(1) },
                )
            })
            .collect();
        let mut text = String::new();
        Cursor::write_many(&entries, &mut text);
        assert!(text.len() <= 128, "{} bytes", text.len());
    }

    #[test]
    fn a_bare_position_belongs_to_the_only_topic() {
        let topic = Topic::new("a").unwrap();
        let cursor: Cursor = "k3J9.17.0x7".parse().unwrap();
        assert!(cursor.position_of(&topic, true).is_some());
        assert_eq!(cursor.position_of(&topic, false), None);
    }
}
