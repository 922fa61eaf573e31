//! A part of the topics, under one lock.

use fanfare_model::{Epoch, Timestamp, Topic, TopicKey};
use hashbrown::HashMap;

use super::topic::TopicLog;
use crate::{Head, Page, Read, TopicsQuery};

pub(super) struct Shard {
    topics: HashMap<TopicKey, TopicLog>,
    /// The epoch of every topic that is not in `topics`. Changes whenever a topic is forgotten, because it
    /// is not known any more which offsets that one had used.
    epoch: Epoch,
    topics_max: usize,
    ids_max: usize,
    /// Counts appends, to know which topics were idle longest.
    turn: u64,
}

impl Shard {
    pub(super) fn new(epoch: Epoch, topics_max: usize, ids_max: usize) -> Self {
        Self { topics: HashMap::new(), epoch, topics_max, ids_max, turn: 0 }
    }

    /// The topic's log, to append to.
    pub(super) fn open(&mut self, key: &TopicKey) -> &mut TopicLog {
        self.turn += 1;
        let turn = self.turn;
        if !self.topics.contains_key(key) {
            if self.topics.len() >= self.topics_max {
                self.forget_idle();
            }
            self.topics.insert(key.clone(), TopicLog::new(key.clone(), self.epoch, self.ids_max));
        }
        let topic = self.topics.get_mut(key).expect("it was there or has just been inserted");
        topic.used = turn;
        topic
    }

    /// Forgets the half of the empty topics that were idle longest: a half, so that the search for them is
    /// paid for by as many new topics.
    fn forget_idle(&mut self) {
        let mut turns: Vec<u64> = self.topics.values().filter(|t| t.is_empty()).map(|t| t.used).collect();
        if turns.is_empty() {
            return;
        }
        let middle = turns.len() / 2;
        let middle = *turns.select_nth_unstable(middle).1;
        self.topics.retain(|_, topic| !topic.is_empty() || topic.used > middle);
        self.epoch = Epoch::generate();
    }

    pub(super) fn get_mut(&mut self, key: &TopicKey) -> Option<&mut TopicLog> {
        self.topics.get_mut(key)
    }

    pub(super) fn head(&self, key: &TopicKey) -> Head {
        self.topics.get(key).map_or_else(|| Head::empty(self.epoch), TopicLog::head)
    }

    pub(super) fn read(&self, read: &Read, now: Timestamp) -> Page {
        match self.topics.get(&read.topic) {
            Some(topic) => topic.read(read, now),
            None => Page { events: Vec::new(), head: Head::empty(self.epoch), more: false },
        }
    }

    pub(super) fn matching(&self, query: &TopicsQuery) -> Vec<(Topic, Head)> {
        self.topics
            .iter()
            .filter(|(key, log)| {
                key.tenant == query.tenant
                    && key.topic.as_str().starts_with(&query.prefix)
                    && query.after.as_ref().is_none_or(|after| key.topic > *after)
                    && log.ever_appended
                    && !key.topic.is_hidden()
            })
            .map(|(key, log)| (key.topic.clone(), log.head()))
            .collect()
    }

    pub(super) fn purge(&mut self, key: &TopicKey) -> Head {
        let ever_appended = self.topics.get(key).is_some_and(|log| log.ever_appended);
        let topic = self.open(key);
        topic.purge(Epoch::generate());
        topic.ever_appended = ever_appended;
        topic.head()
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> u64 {
        self.topics.values_mut().map(|topic| topic.sweep(now)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Data, Draft, Tenant};
    use std::sync::Arc;

    use crate::{Append, Keep};

    fn append(shard: &mut Shard, name: &str, events_max: u64) -> Head {
        let topic = TopicKey::new(Tenant::default(), Topic::new(name).unwrap());
        let keep = Arc::new(Keep { events_max: Some(events_max), ..Keep::default() });
        let item = Append { topic: topic.clone(), draft: Draft::new(Data::text("x")), keep };
        shard.open(&topic).append(item, Timestamp::from_seconds(1));
        shard.head(&topic)
    }

    #[test]
    fn idle_empty_topics_are_forgotten_and_come_back_in_another_epoch() {
        let mut shard = Shard::new(Epoch::generate(), 10, 10);
        let old = append(&mut shard, "t:0", 0);
        let kept = append(&mut shard, "kept", 5);
        for n in 1..1000 {
            append(&mut shard, &format!("t:{n}"), 0);
            assert!(shard.topics.len() <= 10);
        }
        let new = append(&mut shard, "t:0", 0);
        assert_ne!(old.last.epoch, new.last.epoch);
        assert_eq!(new.last.offset, 1);
        let still = append(&mut shard, "kept", 5);
        assert_eq!((still.last.epoch, still.last.offset), (kept.last.epoch, 2));
    }
}
