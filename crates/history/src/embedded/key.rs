//! How things are named in the store. Numbers are big-endian, so that names sort as the numbers do.

use fanfare_model::{Tenant, Timestamp, Topic, TopicKey};

use super::ids::IdHash;

/// The number that stands for one life of a topic: a purged topic gets a new one.
pub(super) type TopicId = u64;

/// A topic's number and another one: an offset, or the number of a move.
pub(super) fn pair(tid: TopicId, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&tid.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The numbers of a key made by [`pair`], or that begins as one.
pub(super) fn read_pair(key: &[u8]) -> Option<(TopicId, u64)> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    let (tid, rest) = key.split_at_checked(8)?;
    Some((number(tid)?, number(rest.get(..8)?)?))
}

/// A topic's number, the number of a move, and the first of the ids that were moved together.
pub(super) fn chunk(tid: TopicId, number: u64, first: IdHash) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&pair(tid, number));
    key[16..].copy_from_slice(&first.to_be_bytes());
    key
}

/// Neither name can hold a NUL, so that no two topics share a key.
pub(super) fn topic(topic: &TopicKey) -> Vec<u8> {
    topics_of(&topic.tenant, topic.topic.as_str())
}

/// What the keys of the tenant's topics that begin with `prefix` begin with.
pub(super) fn topics_of(tenant: &Tenant, prefix: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(tenant.as_str().len() + 1 + prefix.len());
    key.extend_from_slice(tenant.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(prefix.as_bytes());
    key
}

/// The topic of a key made by [`topic`].
pub(super) fn read_topic(key: &[u8]) -> Option<TopicKey> {
    let (tenant, topic) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some(TopicKey::new(Tenant::new(tenant).ok()?, Topic::from_stored(topic).ok()?))
}

/// Whether the topic of a key made by [`topic`] is in no list.
pub(super) fn is_hidden(key: &[u8]) -> bool {
    read_topic(key).is_some_and(|key| key.topic.is_hidden())
}

pub(super) fn due(at: Timestamp, tid: TopicId) -> [u8; 16] {
    // With the sign turned, negative times sort before positive ones.
    pair(at.as_micros().cast_unsigned() ^ (1 << 63), tid)
}

/// Time and topic of a key made by [`due`].
pub(super) fn read_due(key: &[u8]) -> Option<(Timestamp, TopicId)> {
    let (at, tid) = read_pair(key)?;
    Some((Timestamp::from_micros((at ^ (1 << 63)).cast_signed()), tid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_name_and_read_back() {
        let times = [i64::MIN, -5, 0, 7, i64::MAX].map(Timestamp::from_micros);
        let keys = times.map(|at| due(at, 3));
        assert!(keys.is_sorted());
        for (key, at) in keys.iter().zip(times) {
            assert_eq!(read_due(key), Some((at, 3)));
        }
        let key = TopicKey::new(Tenant::new("a").unwrap(), Topic::new("b:c").unwrap());
        assert_eq!(read_topic(&topic(&key)), Some(key));
        assert_eq!(read_topic(b"no separator"), None);
        let key = TopicKey::new(Tenant::default(), Topic::internal("b"));
        assert_eq!(read_topic(&topic(&key)), Some(key.clone()));
        assert!(is_hidden(&topic(&key)));
    }
}
