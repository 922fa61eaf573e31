//! What a topic must be, too simple to be wrong.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_history::Appended;
use fanfare_model::{Epoch, Event, Gap, GapReason, Position, TopicKey};

/// A topic and everything that was ever in it.
pub(super) struct Truth {
    pub(super) topic: TopicKey,
    /// How many events are kept.
    keeps: usize,
    /// Whether offsets are 1, 2, 3 …
    is_dense: bool,
    /// Those of the log; the last one is this.
    lives: Vec<Life>,
}

/// What lies between two purges.
#[derive(Default)]
struct Life {
    /// As soon as it is known.
    epoch: Option<Epoch>,
    events: Vec<Stored>,
    /// How many of the events are not kept any more.
    gone: usize,
    /// Where each id is.
    ids: HashMap<u8, usize>,
}

struct Stored {
    position: Position,
    /// Its data.
    number: u64,
}

impl Life {
    fn offset_before(&self, index: usize) -> u64 {
        index.checked_sub(1).and_then(|before| self.events.get(before)).map_or(0, |event| event.position.offset)
    }
}

/// A place in a topic: before the event with this index in this life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) life: usize,
    pub(super) index: usize,
}

impl Truth {
    /// Of a topic that nothing was ever published to.
    pub(super) fn new(topic: TopicKey, keeps: usize, is_dense: bool) -> Self {
        Self { topic, keeps, is_dense, lives: vec![Life::default()] }
    }

    fn now(&mut self) -> &mut Life {
        self.lives.last_mut().expect("there is always one")
    }

    /// After everything.
    pub(super) fn end(&self) -> Place {
        let life = self.lives.len() - 1;
        Place { life, index: self.lives[life].events.len() }
    }

    /// The place before the oldest event that is kept.
    pub(super) fn oldest(&self) -> Place {
        let life = self.lives.len() - 1;
        Place { life, index: self.lives[life].gone }
    }

    /// The position of the last event, if there is one in this life.
    pub(super) fn head(&self) -> Option<Position> {
        self.lives.last()?.events.last().map(|event| event.position)
    }

    /// The epoch of this life, as soon as it is known.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.lives.last()?.epoch
    }

    /// An event was published; this is the answer.
    pub(super) fn published(&mut self, id: Option<u8>, number: u64, answer: &Appended) {
        let position = answer.position;
        self.has_epoch(position.epoch);
        let (keeps, is_dense) = (self.keeps, self.is_dense);
        let life = self.now();
        if let Some(first) = id.and_then(|id| life.ids.get(&id)) {
            let first = life.events[*first].position;
            assert_eq!((answer.duplicate, position), (true, first), "an id is stored once");
            return;
        }
        let last = life.offset_before(life.events.len());
        assert!(!answer.duplicate, "{position:?} is no duplicate");
        assert!(position.offset > last && (!is_dense || position.offset == last + 1), "{position:?} after {last}");
        if let Some(id) = id {
            life.ids.insert(id, life.events.len());
        }
        life.events.push(Stored { position, number });
        life.gone = life.gone.max(life.events.len().saturating_sub(keeps));
    }

    /// The log has this epoch now.
    fn has_epoch(&mut self, epoch: Epoch) {
        let is_old = self.lives.iter().rev().skip(1).any(|life| life.epoch == Some(epoch));
        assert!(!is_old, "the epoch of a life that is over");
        assert_eq!(*self.now().epoch.get_or_insert(epoch), epoch, "one life has one epoch");
    }

    /// The log was purged, or lost, and has this epoch from now on.
    pub(super) fn begins_again(&mut self, epoch: Epoch) {
        self.lives.push(Life::default());
        self.has_epoch(epoch);
    }

    /// What lies before an offset is not kept any more.
    pub(super) fn truncated(&mut self, before: u64) {
        let life = self.now();
        life.gone = life.gone.max(life.events.partition_point(|event| event.position.offset < before));
    }

    /// The offset of one of the events of this life, or one beyond the last.
    pub(super) fn some_offset(&self, which: u8) -> u64 {
        let life = &self.lives[self.lives.len() - 1];
        let which = usize::from(which) % (life.events.len() + 1);
        life.events.get(which).map_or_else(|| life.offset_before(which) + 1, |event| event.position.offset)
    }

    /// Any position that there ever was.
    pub(super) fn some_position(&self, which: u8) -> Option<Position> {
        let of_life = |life: &Life| {
            let origin = life.epoch.map(Position::origin);
            origin.into_iter().chain(life.events.iter().map(|event| event.position)).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.lives.iter().flat_map(of_life).collect();
        all.get(usize::from(which) % all.len().max(1)).copied()
    }

    /// Where that is.
    pub(super) fn place(&mut self, position: Position) -> Place {
        let known = self.lives.iter().position(|life| life.epoch == Some(position.epoch));
        let life = known.unwrap_or_else(|| {
            self.has_epoch(position.epoch);
            self.lives.len() - 1
        });
        let events = &self.lives[life].events;
        Place { life, index: events.partition_point(|event| event.position.offset <= position.offset) }
    }

    /// Whether the event before this place is gone, and an engine whose offsets have holes may not know any more where it
    /// was, but only that nothing is kept since.
    fn is_vague(&self, place: Place) -> bool {
        !self.is_dense && place.index > 0 && place.index == self.gone(place.life)
    }

    /// How many of the first events of a life are not kept any more.
    fn gone(&self, life: usize) -> usize {
        let is_over = life + 1 < self.lives.len();
        if is_over { self.lives[life].events.len() } else { self.lives[life].gone }
    }

    /// Asserts that this event lies at this place.
    pub(super) fn is_at(&self, place: Place, event: &Event) {
        let life = &self.lives[place.life];
        let Some(expected) = life.events.get(place.index) else {
            panic!("nothing is at {place:?}, but {event:?} came");
        };
        let found = (event.position(), event.draft.data.as_text().map(ToOwned::to_owned));
        assert_eq!(found, (expected.position, Some(expected.number.to_string())), "at {place:?}");
        let prev = life.offset_before(place.index);
        let is_right = event.prev == prev || (self.is_vague(place) && (prev..event.offset).contains(&event.prev));
        assert!(is_right, "{prev} is before {place:?}, not {}", event.prev);
    }

    /// Asserts that what a gap leaves out, from one position to another, is gone, and is what the gap says; returns the place
    /// where it ends.
    pub(super) fn is_true(&mut self, from: Position, gap: Gap, to: Position) -> Place {
        let (begin, end) = (self.place(from), self.place(to));
        let said = format!("{gap:?} from {from:?} to {to:?}");
        assert!(end.index <= self.gone(end.life), "what is kept is left out: {said}");
        match gap.reason {
            GapReason::Trimmed => {
                assert_eq!((gap.from, gap.to), (from.offset + 1, to.offset), "{said}");
                assert!(
                    begin.life == end.life && (begin.index < end.index || self.is_vague(end)),
                    "nothing is missing: {said}"
                );
            }
            GapReason::Epoch => assert!(begin.life < end.life, "it is the same log: {said}"),
            other => panic!("nothing gives reason for {other:?}: {said}"),
        }
        end
    }

    /// Asserts that these are the events that are kept.
    pub(super) fn is_kept(&self, events: &[Arc<Event>]) {
        let (begin, end) = (self.oldest(), self.end());
        assert_eq!(events.len(), end.index - begin.index, "{} are kept of {}", events.len(), self.topic.topic);
        for (index, event) in (begin.index..).zip(events) {
            self.is_at(Place { index, ..begin }, event);
        }
    }
}
