//! How things are named in the store. Numbers are big-endian, so that names sort as the numbers do.

use fanfare_model::{EventId, Tenant, Timestamp, Topic, TopicKey};

/// The number that stands for one life of a topic: a purged topic gets a new one.
pub(super) type TopicId = u64;

pub(super) fn log(tid: TopicId, offset: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&tid.to_be_bytes());
    key[8..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a key of the log.
pub(super) fn log_offset(key: &[u8]) -> Option<u64> {
    key.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
}

pub(super) fn dedup(tid: TopicId, id: &EventId) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + id.as_str().len());
    key.extend_from_slice(&tid.to_be_bytes());
    key.extend_from_slice(id.as_str().as_bytes());
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
    Some(TopicKey::new(Tenant::new(tenant).ok()?, Topic::new(topic).ok()?))
}

pub(super) fn due(at: Timestamp, tid: TopicId) -> [u8; 16] {
    // With the sign turned, negative times sort before positive ones.
    log(at.as_micros().cast_unsigned() ^ (1 << 63), tid)
}

/// Time and topic of a key made by [`due`].
pub(super) fn read_due(key: &[u8]) -> Option<(Timestamp, TopicId)> {
    let at = key.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)?;
    Some((Timestamp::from_micros((at ^ (1 << 63)).cast_signed()), log_offset(key)?))
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
    }
}
