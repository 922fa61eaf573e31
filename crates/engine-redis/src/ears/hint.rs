//! What is carried on a channel: a line of where, the flat topic, and what.
//!
//! `e <epoch> <offset> <prev> <time> <tag> <bytes of the topic>\n<topic><draft>` is an event, with `h` it is too large to
//! be carried and only its place is told, and `r` says that the topic was purged and has this epoch now.

use fanfare_history::record;
use fanfare_model::{Draft, Epoch, Tag, Timestamp};

/// What happened to a topic.
#[derive(Debug, PartialEq)]
pub(super) enum What<'a> {
    /// An event; its draft is not decoded yet.
    Event(&'a [u8]),
    /// An event that must be read.
    Header,
    /// It was purged.
    Reset,
}

/// A message of a channel, split.
#[derive(Debug, PartialEq)]
pub(super) struct Hint<'a> {
    pub(super) what: What<'a>,
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    pub(super) prev: u64,
    pub(super) time: Timestamp,
    pub(super) tag: Tag,
    /// The flat topic.
    pub(super) topic: &'a [u8],
}

impl<'a> Hint<'a> {
    pub(super) fn split(message: &'a [u8]) -> Option<Self> {
        /// A letter, seven numbers of up to 20 digits.
        const LINE_BYTES_MAX: usize = 160;
        let end = message.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')?;
        let mut fields = std::str::from_utf8(&message[..end]).ok()?.split(' ');
        let letter = fields.next()?;
        let epoch = Epoch::from_u32(fields.next()?.parse().ok()?)?;
        let offset = fields.next()?.parse().ok()?;
        let prev = fields.next()?.parse().ok()?;
        let time = Timestamp::from_micros(fields.next()?.parse().ok()?);
        let tag = Tag::from_u16(fields.next()?.parse().ok()?);
        let length: usize = fields.next()?.parse().ok()?;
        let rest = &message[end + 1..];
        let (topic, rest) = rest.split_at_checked(length)?;
        let what = match letter {
            "e" => What::Event(rest),
            "h" => What::Header,
            "r" => What::Reset,
            _ => return None,
        };
        Some(Self { what, epoch, offset, prev, time, tag, topic })
    }
}

/// The draft of an event that was carried.
pub(super) fn draft(bytes: &[u8]) -> Option<Draft> {
    record::decode_draft(bytes).ok()
}

/// Writing what [`Hint::split`] reads; scripts write the same.
pub(crate) mod carried {
    use fanfare_model::{Epoch, Tag, Timestamp};

    /// An event at `(offset, prev)`; without a draft only that it is there.
    pub(crate) fn event(
        flat: &[u8],
        epoch: Epoch,
        (offset, prev): (u64, u64),
        time: Timestamp,
        tag: Tag,
        draft: Option<&[u8]>,
    ) -> Vec<u8> {
        let letter = if draft.is_some() { 'e' } else { 'h' };
        let (epoch, time, tag) = (epoch.as_u32(), time.as_micros(), tag.as_u16());
        let mut bytes = format!("{letter} {epoch} {offset} {prev} {time} {tag} {}\n", flat.len()).into_bytes();
        bytes.extend_from_slice(flat);
        bytes.extend_from_slice(draft.unwrap_or_default());
        bytes
    }

    /// A topic was purged and has this epoch now.
    pub(crate) fn reset(flat: &[u8], epoch: Epoch) -> Vec<u8> {
        let mut bytes = format!("r {} 0 0 0 0 {}\n", epoch.as_u32(), flat.len()).into_bytes();
        bytes.extend_from_slice(flat);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hint_is_split() {
        let hint = Hint::split(b"e 7 12 11 -5 9 3\nt\0ttail \n").unwrap();
        assert_eq!((hint.epoch.as_u32(), hint.offset, hint.prev, hint.time.as_micros()), (7, 12, 11, -5));
        assert_eq!((hint.tag.as_u16(), hint.topic, hint.what), (9, &b"t\0t"[..], What::Event(b"tail \n")));
        let (epoch, time, tag) = (hint.epoch, hint.time, hint.tag);
        assert_eq!(
            carried::event(b"t\0t", epoch, (12, 11), time, tag, Some(b"ail \n")),
            b"e 7 12 11 -5 9 3\nt\0tail \n"
        );
        let header = carried::event(b"t\0t", epoch, (12, 11), time, tag, None);
        assert_eq!(Hint::split(&header).unwrap().what, What::Header);
        assert_eq!(Hint::split(&carried::reset(b"t\0t", epoch)).unwrap().what, What::Reset);
        assert_eq!(Hint::split(b"r 7 0 0 0 0 3\nt\0t").unwrap().what, What::Reset);
        assert_eq!(Hint::split(b"e 7 12 11 5 9 4\nt\0t"), None, "cut");
        assert_eq!(Hint::split(b"e 0 12 11 5 9 3\nt\0t"), None, "no epoch");
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
            let _ = Hint::split(&bytes);
        }
    }
}
