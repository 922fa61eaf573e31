//! The writer's memory of topics.

use fanfare_model::TopicKey;
use hashbrown::HashMap;

use super::fault::Fault;
use super::store::Store;
use super::topic::TopicRecord;

struct Known {
    record: TopicRecord,
    used: u64,
}

/// The records of the topics that were used lately, as they are stored.
pub(super) struct Topics {
    known: HashMap<TopicKey, Known>,
    known_max: usize,
    turn: u64,
}

impl Topics {
    pub(super) fn new(known_max: usize) -> Self {
        Self { known: HashMap::new(), known_max, turn: 0 }
    }

    /// What is stored of a topic; `None` if it is new.
    pub(super) fn get(&mut self, store: &Store, topic: &TopicKey) -> Result<Option<TopicRecord>, Fault> {
        self.turn += 1;
        if let Some(known) = self.known.get_mut(topic) {
            known.used = self.turn;
            return Ok(Some(known.record));
        }
        let record = store.topic(topic)?;
        if let Some(record) = record {
            self.put(topic.clone(), record);
        }
        Ok(record)
    }

    /// Remembers what has just been stored.
    pub(super) fn put(&mut self, topic: TopicKey, record: TopicRecord) {
        if self.known.len() >= self.known_max && !self.known.contains_key(&topic) {
            // A half at once, so that the search for the oldest is paid for by as many new ones.
            let mut used: Vec<u64> = self.known.values().map(|known| known.used).collect();
            let middle = used.len() / 2;
            let middle = *used.select_nth_unstable(middle).1;
            self.known.retain(|_, known| known.used > middle);
        }
        self.known.insert(topic, Known { record, used: self.turn });
    }

    /// Forgets everything, because it may not be what is stored.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}
