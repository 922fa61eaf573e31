//! A batch of appends that is being answered.

use std::time::Instant;

use fanfare_model::TopicKey;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::queue::{Answers, Batch};
use crate::metrics::Handles;
use crate::{Append, Appended, Durability, Error};

/// A batch whose items are taken one by one and answered in any order.
pub(super) struct OpenBatch {
    /// Those that are not taken yet.
    items: Vec<Option<Append>>,
    /// The number of each item's topic.
    topics: Vec<usize>,
    answers: Vec<Option<Result<Appended, Error>>>,
    unanswered: usize,
    /// Where the next phase goes on to look for items.
    next: usize,
    durability: Durability,
    since: Instant,
    answer: oneshot::Sender<Answers>,
}

impl OpenBatch {
    pub(super) fn new(batch: Batch) -> Self {
        let Batch { items, since, answer } = batch;
        Self {
            durability: items.iter().map(|item| item.keep.durability).max().unwrap_or_default(),
            topics: Vec::with_capacity(items.len()),
            answers: items.iter().map(|_| None).collect(),
            unanswered: items.len(),
            next: 0,
            items: items.into_iter().map(Some).collect(),
            since,
            answer,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Asks for the number of each item's topic. An item whose topic cannot be found has its answer.
    pub(super) fn find_topics(&mut self, mut find: impl FnMut(&TopicKey, Durability) -> Result<usize, Fault>) {
        for at in 0..self.items.len() {
            let Some(item) = &self.items[at] else { continue };
            // Batches are often of one topic: it is looked up once.
            let before = at.checked_sub(1).and_then(|before| Some((before, self.items[before].as_ref()?)));
            let same = before
                .filter(|(_, before)| before.topic == item.topic && before.keep.durability == item.keep.durability);
            let number = match same {
                Some((before, _)) => self.topics[before],
                None => match find(&item.topic, item.keep.durability) {
                    Ok(number) => number,
                    Err(fault) => {
                        self.items[at] = None;
                        self.answer(at, Err(fault.into()));
                        usize::MAX
                    }
                },
            };
            self.topics.push(number);
        }
    }

    /// Takes the next item of which `is_wanted(topic)`: its place, the number of its topic, and itself. When there is
    /// none, the next call begins anew.
    pub(super) fn next(&mut self, is_wanted: impl Fn(usize) -> bool) -> Option<(usize, usize, Append)> {
        while let Some(topic) = self.topics.get(self.next).copied() {
            let at = self.next;
            self.next += 1;
            if is_wanted(topic)
                && let Some(item) = self.items[at].take()
            {
                return Some((at, topic, item));
            }
        }
        self.next = 0;
        None
    }

    pub(super) fn answer(&mut self, at: usize, answer: Result<Appended, Error>) {
        self.answers[at] = Some(answer);
        self.unanswered -= 1;
    }

    /// Answers, if every item has its answer; otherwise gives the batch back.
    pub(super) fn answer_if_done(self, metrics: &Handles) -> Option<Self> {
        if self.unanswered > 0 {
            return Some(self);
        }
        metrics.append_took(self.durability, self.since.elapsed());
        // Whoever does not wait for the answer any more does not miss it.
        drop(self.answer.send(self.answers.into_iter().flatten().collect()));
        None
    }

    /// Answers what has no answer yet with the fault.
    pub(super) fn refuse(self, fault: &Fault) {
        let answers = self.answers.into_iter().map(|a| a.unwrap_or_else(|| Err(fault.clone().into()))).collect();
        drop(self.answer.send(answers));
    }
}
