//! The ids of one topic as they are stored: sorted, so that one is found without reading the others.

use fanfare_model::Timestamp;

use super::{IdEntry, IdHash};
use crate::embedded::key::TopicId;
use crate::record::codec::{Damage, seal, unseal};

const VERSION: u8 = 1;
/// Hash, offset, time, expiry.
const ENTRY_BYTES: usize = 16 + 8 + 8 + 8;

/// Ids of one topic, as they are stored.
pub(in crate::embedded) struct Chunk<'a> {
    topic: TopicId,
    entries: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// `ids` are of one topic and sorted.
    pub(in crate::embedded) fn encode(topic: TopicId, ids: &[(IdHash, IdEntry)]) -> Vec<u8> {
        let expires = ids.iter().map(|(_, entry)| entry.expires).max().unwrap_or_default();
        seal(VERSION, topic, 8 + ids.len() * ENTRY_BYTES, |to| {
            to.i64(expires.as_micros());
            for (id, entry) in ids {
                to.u128(id.0);
                to.u64(entry.offset);
                to.i64(entry.time.as_micros());
                to.i64(entry.expires.as_micros());
            }
        })
    }

    pub(in crate::embedded) fn decode(topic: TopicId, bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut from = unseal(bytes, VERSION, topic)?;
        from.i64()?;
        let entries = from.rest();
        if entries.len().is_multiple_of(ENTRY_BYTES) { Ok(Self { topic, entries }) } else { Err(Damage::Surplus) }
    }

    pub(in crate::embedded) fn ids(&self) -> impl Iterator<Item = (IdHash, IdEntry)> {
        (0..self.entries.len() / ENTRY_BYTES).map(|at| self.at(at))
    }

    pub(in crate::embedded) fn find(&self, id: IdHash) -> Option<IdEntry> {
        let (mut low, mut high) = (0, self.entries.len() / ENTRY_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, entry) = self.at(middle);
            match found.cmp(&id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(entry),
            }
        }
        None
    }

    fn at(&self, at: usize) -> (IdHash, IdEntry) {
        let entry = &self.entries[at * ENTRY_BYTES..(at + 1) * ENTRY_BYTES];
        let number = |at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let time = |at: usize| Timestamp::from_micros(number(at).cast_signed());
        let id = IdHash(u128::from(number(0)) | u128::from(number(8)) << 64);
        (id, IdEntry { topic: self.topic, offset: number(16), time: time(24), expires: time(32) })
    }
}

/// From when on every id of a stored chunk may be forgotten.
pub(in crate::embedded) fn expiry(chunk: &[u8]) -> Option<Timestamp> {
    let (version, rest) = chunk.split_first()?;
    let expires = rest.first_chunk().filter(|_| *version == VERSION)?;
    Some(Timestamp::from_micros(i64::from_le_bytes(*expires)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::EventId;

    #[test]
    fn every_id_is_found_again_and_no_other() {
        let hash = |n: u64| IdHash::of(5, 1, &EventId::new(n.to_string()).unwrap());
        let time = |n: u64| Timestamp::from_micros(n.cast_signed());
        for count in [0, 1, 2, 3, 100] {
            let entry = |n| IdEntry { topic: 1, offset: n, time: time(n), expires: time(1000 - n) };
            let mut ids: Vec<_> = (0..count).map(|n| (hash(n), entry(n))).collect();
            ids.sort_unstable_by_key(|(id, _)| *id);
            let bytes = Chunk::encode(1, &ids);
            let chunk = Chunk::decode(1, &bytes).unwrap();
            for n in 0..count {
                assert_eq!(chunk.find(hash(n)), Some(entry(n)));
            }
            assert!((count..count + 100).all(|n| chunk.find(hash(n)).is_none()));
            assert_eq!(chunk.ids().collect::<Vec<_>>(), ids);
            assert_eq!(expiry(&bytes), Some(time(if count == 0 { 0 } else { 1000 })));
            assert!(Chunk::decode(2, &bytes).is_err(), "of another topic");
        }
    }
}
