//! How the nouns stand in the messages of `fanfare.engine.v1`.

pub(crate) mod cursors;
pub(crate) mod log;
pub(crate) mod presence;
pub(crate) mod refusal;

use std::time::Duration;

use fanfare_model::{Epoch, Position, Tag, Tenant, Topic, TopicKey};
use fanfare_proto::engine as proto;

/// A message that the other side cannot have meant. Both are of one cluster, so it is of another version, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("a message of the other node has a wrong {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn topic(key: &TopicKey) -> proto::TopicKey {
    proto::TopicKey { tenant: key.tenant.as_str().to_owned(), topic: key.topic.as_str().to_owned() }
}

pub(crate) fn to_topic(key: Option<&proto::TopicKey>) -> Result<TopicKey, Malformed> {
    let key = key.ok_or(Malformed("topic"))?;
    Ok(TopicKey::new(to_tenant(&key.tenant)?, to_name(&key.topic)?))
}

pub(crate) fn to_tenant(text: &str) -> Result<Tenant, Malformed> {
    Tenant::new(text).map_err(|_| Malformed("tenant"))
}

/// Also companions and internal topics.
pub(crate) fn to_name(text: &str) -> Result<Topic, Malformed> {
    Topic::from_stored(text).map_err(|_| Malformed("topic"))
}

pub(crate) fn position(position: Position) -> proto::Position {
    let Position { epoch, offset, tag } = position;
    proto::Position { epoch: epoch.as_u32(), offset, tag: u32::from(tag.as_u16()) }
}

pub(crate) fn to_position(position: Option<proto::Position>) -> Result<Position, Malformed> {
    let proto::Position { epoch, offset, tag } = position.ok_or(Malformed("position"))?;
    let tag = Tag::from_u16(tag.try_into().map_err(|_| Malformed("tag"))?);
    Ok(Position { epoch: to_epoch(epoch)?, offset, tag })
}

pub(crate) fn to_epoch(number: u32) -> Result<Epoch, Malformed> {
    Epoch::from_u32(number).ok_or(Malformed("epoch"))
}

/// A span in microseconds, as it travels. Spans beyond half a million years are cut.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A number of things, as it travels.
pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A limit that came: beyond what this machine can count there is none.
pub(crate) fn to_count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
