//! Names of keys and channels.
//!
//! Everything that belongs to a topic, a user or a lease lies in one of [`PARTITIONS`] partitions, and the keys of a
//! partition share a hash tag, so that one script may touch them all, also in a Cluster. The tags are chosen so that the
//! partitions lie evenly over the slots. A server that stands alone gets the same names, so that moving to a Cluster
//! renames nothing.

use fanfare_model::TopicKey;
use xxhash_rust::xxh3::xxh3_64;

/// How many partitions there are. Fixed for ever by what is stored: more than the primaries of any Cluster that this is
/// for, few enough that a list over all of them is one round trip.
pub(crate) const PARTITIONS: u16 = 64;

/// How many slots a Cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// One of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition(pub(crate) u16);

impl Partition {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    /// Where a thing of this name lies.
    pub(crate) fn of(name: &[u8]) -> Self {
        Self(u16::try_from(xxh3_64(name) % u64::from(PARTITIONS)).unwrap_or(0))
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// `tenant \0 topic`: no name has a zero in it.
pub(crate) fn flat(key: &TopicKey) -> Vec<u8> {
    joined(&[key.tenant.as_str(), key.topic.as_str()])
}

/// Tenant and topic of a flat name.
pub(crate) fn split(flat: &[u8]) -> (&[u8], &[u8]) {
    let end = flat.iter().position(|byte| *byte == 0).unwrap_or(flat.len());
    (&flat[..end], flat.get(end + 1..).unwrap_or_default())
}

/// Names with a zero between.
pub(crate) fn joined(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            bytes.push(0);
        }
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// The names of one cluster of Fanfare.
#[derive(Debug)]
pub(crate) struct Keys {
    /// `{prefix.12.57}` of each partition.
    tags: Vec<String>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        let width = SLOTS / PARTITIONS;
        let tag_of = |partition: u16| {
            // About one in 64 is right; of a million one is for certain.
            (0..1_000_000)
                .map(|n| format!("{prefix}.{partition}.{n}"))
                .find(|tag| crc16(tag.as_bytes()) % SLOTS / width == partition)
                .expect("every slot is the slot of some tag")
        };
        let tags = (0..PARTITIONS).map(|partition| format!("{{{}}}", tag_of(partition))).collect();
        Self { tags }
    }

    /// What the names of a partition's keys begin with.
    pub(crate) fn tag(&self, partition: Partition) -> &str {
        &self.tags[partition.index()]
    }

    /// The slot of a partition's keys.
    pub(crate) fn slot(&self, partition: Partition) -> u16 {
        let tag = &self.tags[partition.index()];
        crc16(&tag.as_bytes()[1..tag.len() - 1]) % SLOTS
    }

    /// The key of `kind` and `name` in a partition.
    pub(crate) fn key(&self, partition: Partition, kind: &str, name: &[u8]) -> Vec<u8> {
        let tag = &self.tags[partition.index()];
        let mut key = Vec::with_capacity(tag.len() + kind.len() + 1 + name.len());
        key.extend_from_slice(tag.as_bytes());
        key.extend_from_slice(kind.as_bytes());
        key.push(b':');
        key.extend_from_slice(name);
        key
    }
}

/// CRC-16/XMODEM: what a Cluster computes slots from.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_as_the_specification_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn partitions_lie_evenly_over_the_slots() {
        let keys = Keys::new("fanfare");
        for partition in Partition::all() {
            assert_eq!(keys.slot(partition) / (SLOTS / PARTITIONS), partition.0);
            let key = keys.key(partition, "h", b"a\0b{x}");
            assert!(key.starts_with(b"{fanfare.") && key.ends_with(b"}h:a\0b{x}"));
        }
    }
}
