//! Who is where: the state of a topic, the feed of its shard and the liveness of its holders lie in one partition.
//!
//! A shard is a partition. What crosses them is the list of the topics of a session, in the partition of the session: a
//! topic is put there before the session is seated and taken off after, so that it always has every topic that the session
//! is in. A token tells one entering from the next, so that who leaves does not take off what has come again.

mod calls;
mod engine;
mod feed;

use std::sync::Arc;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::TopicKey;
use fanfare_presence::Holder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::feed::Bells;
use crate::error::Failure;
use crate::keys::{Partition, flat};
use crate::servers::Servers;

/// [`fanfare_presence::Presence`] on Redis.
pub(crate) struct RedisPresence {
    servers: Arc<Servers>,
    bells: Arc<Bells>,
    stop: CancellationToken,
}

impl RedisPresence {
    pub(crate) fn new(servers: Arc<Servers>, life: &Lifecycle) -> Self {
        let stop = life.hard().child_token();
        let bells = Arc::new(Bells::default());
        Bells::watch(&bells, &servers, life, &stop);
        Self { servers, bells, stop }
    }

    /// Rung when something may be new in the feed of a shard.
    fn news(&self, partition: Partition) -> &Notify {
        self.bells.of(partition)
    }
}

impl Drop for RedisPresence {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A topic, as the scripts name it.
struct Place {
    partition: Partition,
    flat: Vec<u8>,
}

impl Place {
    fn of(topic: &TopicKey) -> Self {
        let flat = flat(topic);
        Self { partition: Partition::of(&flat), flat }
    }
}

const GARBLED: Failure = Failure::Garbled("presence");

/// Holders are named by letters, digits and `-`.
fn name(holder: &Holder) -> &[u8] {
    holder.0.as_bytes()
}
