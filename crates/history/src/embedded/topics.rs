//! The writer's memory of topics.

use std::collections::VecDeque;

use fanfare_model::TopicKey;
use hashbrown::HashMap;

use super::fault::Fault;
use super::memory::Shared;
use super::read;
use super::topic::TopicRecord;
use crate::record::event::Summary;

/// A topic that was used lately.
pub(super) struct Known {
    pub(super) key: TopicKey,
    /// As everybody sees it; `None` if it is new.
    pub(super) record: Option<TopicRecord>,
    /// Some of its oldest events, for retention; begins at or before the first that is kept.
    pub(super) oldest: VecDeque<Summary>,
    /// Where the phase that is being made has it.
    pub(super) touched: Option<usize>,
    used: u64,
}

/// The topics that were used lately. Each has a number until [`Topics::make_room`] is called.
pub(super) struct Topics {
    numbers: HashMap<TopicKey, usize>,
    known: Vec<Known>,
    known_max: usize,
    turn: u64,
}

impl Topics {
    pub(super) fn new(known_max: usize) -> Self {
        Self { numbers: HashMap::new(), known: Vec::new(), known_max, turn: 0 }
    }

    /// The number of a topic, which is looked up if it was not used lately.
    pub(super) fn find(&mut self, shared: &Shared, topic: &TopicKey) -> Result<usize, Fault> {
        if let Some(number) = self.numbers.get(topic) {
            self.known[*number].used = self.turn;
            return Ok(*number);
        }
        let record = read::record(shared, topic)?;
        let number = self.known.len();
        let (key, used) = (topic.clone(), self.turn);
        self.known.push(Known { key, record, oldest: VecDeque::new(), touched: None, used });
        self.numbers.insert(topic.clone(), number);
        Ok(number)
    }

    pub(super) fn get(&self, number: usize) -> &Known {
        &self.known[number]
    }

    pub(super) fn get_mut(&mut self, number: usize) -> &mut Known {
        &mut self.known[number]
    }

    /// Forgets the half that was used least lately, if there are too many. Numbers change.
    pub(super) fn make_room(&mut self) {
        self.turn += 1;
        if self.known.len() <= self.known_max {
            return;
        }
        // A half at once, so that the search for the oldest is paid for by as many new ones.
        let mut used: Vec<u64> = self.known.iter().map(|known| known.used).collect();
        let middle = used.len() / 2;
        let middle = *used.select_nth_unstable(middle).1;
        self.known.retain(|known| known.used > middle);
        self.numbers.clear();
        self.numbers.extend(self.known.iter().enumerate().map(|(number, known)| (known.key.clone(), number)));
    }

    /// Forgets everything, because it may not be what is stored.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.known.clear();
    }
}
