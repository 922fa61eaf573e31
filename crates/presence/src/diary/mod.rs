//! What happens in topics whose policy wants it logged ([`fanfare_bus::PresencePolicy::log`]): each join and leave once,
//! in order, also when the process is killed.
//!
//! One queue and one writer. Where the engine outlives the node a change makes the ids of its events itself, and stays in
//! the feed until they are logged: whoever owns the shard then writes them again, and finds what is there already. Where
//! everything is forgotten with the process there is a journal: before a stay's beginning or end is appended to its topic the
//! [`Journal`] says so, and after that it says that it was. What it still holds when the process starts again are the stays
//! that a killed process has left: they are ended, and what may have been appended before is looked for first.

mod journal;
mod note;
mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_bus::{Happening, PresencePolicy};
use fanfare_model::{Clock, TopicKey};
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::change::{Change, What};
use crate::member::Member;
use crate::metrics::LOG_WAITING;
use crate::progress::Progress;
pub(crate) use note::Origin;
use note::{Doubt, Note, Stay, name_of, new_stay};
pub(crate) use write::Desk;

/// What is to be logged, and what is under way.
pub(crate) struct Diary {
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Rung when something is put in the queue.
    news: Notify,
    /// How many notes are in the queue.
    left: watch::Sender<usize>,
    /// Whether somebody writes, or will when the journal is open.
    runs: AtomicBool,
    /// Whether the changes are there again when this process is not.
    outlives_node: bool,
    waiting: Gauge,
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Note>,
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
    pub(crate) fn new(clock: Arc<dyn Clock>, outlives_node: bool) -> Self {
        let (queue, news, left) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        Self { clock, queue, news, left, runs: AtomicBool::new(false), outlives_node, waiting: gauge!(LOG_WAITING) }
    }

    /// [`Diary::run`] is about to be called.
    pub(crate) fn will_run(&self) {
        self.runs.store(true, Ordering::Release);
    }

    /// Whether somebody writes, or will.
    pub(crate) fn runs(&self) -> bool {
        self.runs.load(Ordering::Acquire)
    }

    /// How many notes wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().notes.len()
    }

    /// Waits until fewer than `most` notes wait.
    pub(crate) async fn has_room(&self, most: usize) {
        if self.waiting() >= most {
            // The sender is in here.
            drop(self.left.subscribe().wait_for(|left| *left < most).await);
        }
    }

    /// Notes what is wanted of a change. Of one topic they come in order.
    pub(crate) fn note(&self, change: &Change, policy: &PresencePolicy, origin: Origin, progress: &Progress) {
        let log = &policy.log;
        if log.is_empty() {
            return;
        }
        let happens = match &change.what {
            What::Updated(_) => return,
            What::Joined(member) => {
                [(change.count == 1).then_some((Happening::Occupied, None)), Some((Happening::Join, Some(member)))]
            }
            What::Left(member) => {
                [Some((Happening::Leave, Some(member))), (change.count == 0).then_some((Happening::Vacated, None))]
            }
        };
        let mut queue = self.queue.lock();
        for (happening, member) in happens.into_iter().flatten() {
            // The other end of a stay is noted as well, so that the journal has it.
            let stay = match happening {
                _ if self.outlives_node => log.contains(&happening).then(|| name_of(change)),
                Happening::Join | Happening::Occupied => {
                    let is_wanted = log.contains(&happening) || log.contains(&other_end(happening));
                    is_wanted.then(|| queue.begin(&change.topic, member))
                }
                Happening::Leave | Happening::Vacated => queue.end(&change.topic, member),
            };
            if let Some(stay) = stay {
                progress.to_log(origin.shard, origin.position);
                let (topic, at, member) = (change.topic.clone(), change.at, member.cloned());
                let doubt = if origin.doubtful { Doubt::Inherited } else { Doubt::None };
                let (number, origin) = (None, Some(origin));
                queue.notes.push_back(Note { topic, happening, stay, member, at, number, origin, doubt });
            }
        }
        self.left.send_replace(queue.notes.len());
        drop(queue);
        self.news.notify_one();
    }
}

fn other_end(happening: Happening) -> Happening {
    match happening {
        Happening::Join => Happening::Leave,
        Happening::Leave => Happening::Join,
        Happening::Occupied => Happening::Vacated,
        Happening::Vacated => Happening::Occupied,
    }
}

impl Queue {
    /// A stay begins: that of a member, or the topic's own.
    fn begin(&mut self, topic: &TopicKey, member: Option<&Arc<Member>>) -> Stay {
        let stay = new_stay();
        let stays = self.stays.entry(topic.clone()).or_default();
        match member {
            Some(member) => drop(stays.members.insert(member.id.clone(), Arc::clone(&stay))),
            None => stays.own = Some(Arc::clone(&stay)),
        }
        stay
    }

    /// It ends, if it has begun.
    fn end(&mut self, topic: &TopicKey, member: Option<&Arc<Member>>) -> Option<Stay> {
        let stays = self.stays.get_mut(topic)?;
        let stay = match member {
            Some(member) => stays.members.remove(&member.id),
            None => stays.own.take(),
        };
        if stays.own.is_none() && stays.members.is_empty() {
            self.stays.remove(topic);
        }
        stay
    }

    /// Puts what an earlier process has left before all others.
    fn put_first(&mut self, left: Vec<Note>) {
        for note in left.into_iter().rev() {
            self.notes.push_front(note);
        }
    }

    /// The first ones need not be tried again. The next ones, so many that were `tried`, may be in the log.
    fn strike(&mut self, count: usize, tried: usize) {
        self.notes.drain(..count);
        for note in self.notes.iter_mut().take(tried - count).filter(|note| note.doubt == Doubt::None) {
            note.doubt = Doubt::Tried;
        }
    }
}
