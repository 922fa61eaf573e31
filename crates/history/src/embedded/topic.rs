//! What is stored of a topic itself: where its log ends, and what it holds.

use std::time::Duration;

use fanfare_model::{Epoch, Position, Tag, Timestamp};

use super::key::TopicId;
use crate::record::codec::{Damage, Decoder, Encoder, seal, unseal};
use crate::{Durability, Head};

const VERSION: u8 = 2;
/// How many bytes a record takes.
const BYTES: usize = 96;
/// No time and no age: neither can be reached.
const NO_TIME: i64 = i64::MIN;
const NO_AGE: u64 = u64::MAX;

/// The stored state of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicRecord {
    pub(super) tid: TopicId,
    /// The weakest promise that its latest events were stored under.
    pub(super) durability: Durability,
    /// Which run of the store it was last appended to in: after an unclean end of that run its latest events
    /// may be missing.
    pub(super) run: u64,
    pub(super) head: Head,
    /// The age limit of the last append, for the sweep.
    pub(super) age_max: Option<Duration>,
    /// When the sweep is to look at it; the time in its entry of the list of due topics.
    pub(super) due: Option<Timestamp>,
    /// The frame of the write-ahead log that says this.
    pub(super) frame: u64,
    /// Whether it was ever appended to; `false` for one that is known only because it was purged.
    pub(super) ever_appended: bool,
}

impl TopicRecord {
    pub(super) fn new(tid: TopicId, epoch: Epoch) -> Self {
        Self {
            tid,
            durability: Durability::Committed,
            run: 0,
            head: Head::empty(epoch),
            age_max: None,
            due: None,
            frame: 0,
            ever_appended: false,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        seal(VERSION, 0, BYTES, |to| self.write(to))
    }

    pub(super) fn write(&self, to: &mut Encoder<'_>) {
        to.u64(self.tid);
        to.u8(match self.durability {
            Durability::None => 0,
            Durability::Buffered => 1,
            Durability::Committed => 2,
        });
        to.u64(self.run);
        to.u32(self.head.last.epoch.as_u32());
        to.u64(self.head.last.offset);
        to.u16(self.head.last.tag.as_u16());
        to.u64(self.head.first);
        to.u64(self.head.events);
        to.u64(self.head.bytes);
        to.i64(self.head.time.map_or(NO_TIME, Timestamp::as_micros));
        to.u64(self.age_max.map_or(NO_AGE, |age| u64::try_from(age.as_micros()).unwrap_or(NO_AGE)));
        to.i64(self.due.map_or(NO_TIME, Timestamp::as_micros));
        to.u64(self.frame);
        to.u8(u8::from(self.ever_appended));
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut from = unseal(bytes, VERSION, 0)?;
        let record = Self::read(&mut from)?;
        from.end()?;
        Ok(record)
    }

    pub(super) fn read(from: &mut Decoder<'_>) -> Result<Self, Damage> {
        let time = |micros| (micros != NO_TIME).then_some(Timestamp::from_micros(micros));
        let tid = from.u64()?;
        let durability = match from.u8()? {
            0 => Durability::None,
            1 => Durability::Buffered,
            2 => Durability::Committed,
            _ => return Err(Damage::Field("durability")),
        };
        let run = from.u64()?;
        let epoch = Epoch::from_u32(from.u32()?).ok_or(Damage::Field("epoch"))?;
        let last = Position { epoch, offset: from.u64()?, tag: Tag::from_u16(from.u16()?) };
        let head = Head { last, first: from.u64()?, events: from.u64()?, bytes: from.u64()?, time: time(from.i64()?) };
        let age_max = Some(from.u64()?).filter(|age| *age != NO_AGE).map(Duration::from_micros);
        let due = time(from.i64()?);
        let frame = from.u64()?;
        let ever_appended = from.u8()? != 0;
        Ok(Self { tid, durability, run, head, age_max, due, frame, ever_appended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let mut record = TopicRecord::new(5, Epoch::from_u32(3).unwrap());
        assert_eq!(TopicRecord::decode(&record.encode()), Ok(record));
        record.head.time = Some(Timestamp::from_micros(-1));
        record.head.last.offset = u64::MAX;
        record.age_max = Some(Duration::from_secs(5));
        record.due = Some(Timestamp::from_micros(9));
        record.frame = 77;
        record.ever_appended = true;
        assert_eq!(TopicRecord::decode(&record.encode()), Ok(record));
        assert_eq!(TopicRecord::decode(&[]), Err(Damage::Short));
    }
}
