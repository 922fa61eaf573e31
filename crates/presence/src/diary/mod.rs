//! What happens in topics whose policy wants it logged ([`fanfare_bus::PresencePolicy::log`]): each join and leave once,
//! in order, also when the process is killed.
//!
//! One queue and one writer. Before a stay's beginning or end is appended to its topic the [`Journal`] says so, and after
//! that it says that it was. What it still holds when the process starts again are the stays that a killed process has
//! left: they are ended, and what may have been appended before is looked for first.

mod journal;
mod note;
mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_bus::Happening;
use fanfare_model::{Clock, Timestamp, TopicKey};
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::engine::{Change, What};
use crate::member::Member;
use crate::metrics::LOG_WAITING;
use note::{Note, Stay, new_stay};

/// What is to be logged, and what is under way.
pub(crate) struct Diary {
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Rung when something is put in the queue.
    news: Notify,
    /// How many notes of this process were ever written.
    written: watch::Sender<u64>,
    /// Whether somebody writes, or will when the journal is open.
    runs: AtomicBool,
    waiting: Gauge,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Note>,
    /// How many of them, the first ones, an earlier process has left.
    left: usize,
    /// How many notes of this process were ever put in it.
    noted: u64,
    /// The number of the next note that is written.
    next_number: u64,
    stays: HashMap<TopicKey, Stays>,
}

/// The stays of one topic that have begun.
#[derive(Default)]
struct Stays {
    /// Since it was occupied.
    own: Option<Stay>,
    members: HashMap<String, Stay>,
}

impl Diary {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (queue, news, written) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        Self { clock, queue, news, written, runs: AtomicBool::new(false), waiting: gauge!(LOG_WAITING) }
    }

    /// [`Diary::run`] is about to be called.
    pub(crate) fn will_run(&self) {
        self.runs.store(true, Ordering::Release);
    }

    /// How many notes wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().notes.len()
    }

    /// Notes what is wanted of a change. Of one topic they come in order.
    pub(crate) fn note(&self, change: &Change) {
        let log = &change.policy.log;
        if log.is_empty() {
            return;
        }
        let of_members = log.contains(&Happening::Join) || log.contains(&Happening::Leave);
        let of_topic = log.contains(&Happening::Occupied) || log.contains(&Happening::Vacated);
        let at = self.clock.now();
        let mut queue = self.queue.lock();
        match &change.what {
            What::Updated(_) => {}
            What::Joined(member) => {
                if of_topic && change.count == 1 {
                    queue.begin(&change.topic, None, at);
                }
                if of_members {
                    queue.begin(&change.topic, Some(member), at);
                }
            }
            What::Left(member) => {
                if of_members {
                    queue.end(&change.topic, Some(member), at);
                }
                if of_topic && change.count == 0 {
                    queue.end(&change.topic, None, at);
                }
            }
        }
        drop(queue);
        self.news.notify_one();
    }

    /// Waits until everything that was noted so far is logged, but no longer than `patience`; says whether it is. Does
    /// not wait if nobody writes.
    pub(crate) async fn caught_up(&self, patience: Duration) -> bool {
        if !self.runs.load(Ordering::Acquire) {
            return true;
        }
        let noted = self.queue.lock().noted;
        let mut written = self.written.subscribe();
        tokio::time::timeout(patience, written.wait_for(|written| *written >= noted)).await.is_ok()
    }
}

impl Queue {
    fn begin(&mut self, topic: &TopicKey, member: Option<&Arc<Member>>, at: Timestamp) {
        let stay = new_stay();
        let stays = self.stays.entry(topic.clone()).or_default();
        match member {
            Some(member) => drop(stays.members.insert(member.id.clone(), Arc::clone(&stay))),
            None => stays.own = Some(Arc::clone(&stay)),
        }
        let happening = if member.is_some() { Happening::Join } else { Happening::Occupied };
        self.push(Note { topic: topic.clone(), happening, stay, member: member.cloned(), at, number: None });
    }

    fn end(&mut self, topic: &TopicKey, member: Option<&Arc<Member>>, at: Timestamp) {
        let Some(stays) = self.stays.get_mut(topic) else { return };
        let (stay, happening) = match member {
            Some(member) => (stays.members.remove(&member.id), Happening::Leave),
            None => (stays.own.take(), Happening::Vacated),
        };
        if stays.own.is_none() && stays.members.is_empty() {
            self.stays.remove(topic);
        }
        if let Some(stay) = stay {
            self.push(Note { topic: topic.clone(), happening, stay, member: member.cloned(), at, number: None });
        }
    }

    fn push(&mut self, note: Note) {
        self.noted += 1;
        self.notes.push_back(note);
    }

    /// Puts what an earlier process has left before all others.
    fn put_first(&mut self, left: Vec<Note>) {
        self.left += left.len();
        for note in left.into_iter().rev() {
            self.notes.push_front(note);
        }
    }

    /// The first ones need not be tried again; says how many of them are of this process.
    fn strike(&mut self, count: usize) -> u64 {
        self.notes.drain(..count);
        let left = self.left.min(count);
        self.left -= left;
        (count - left) as u64
    }
}
