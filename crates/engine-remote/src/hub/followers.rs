//! Who is told of what is stored: this node's own hub of readers, and the gateways that are interested.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fanfare_bus::Receive;
use fanfare_history::{Announce, Reset};
use fanfare_model::{Event, Position, TopicKey};
use metrics::{Counter, Gauge};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{Options, metrics as names};

/// What an item counts for beyond the data of its event.
const ITEM_BYTES: usize = 256;

/// Give it to the log (or broker) of a hub in place of the node's own receiver, to which it passes everything on.
pub struct Followers {
    local: Arc<dyn Receive>,
    interest: RwLock<HashMap<TopicKey, Vec<Arc<Follower>>>>,
    /// How many there are: without any, the log is not held up.
    count: AtomicUsize,
    /// All of them, for what concerns every topic.
    all: Mutex<Vec<Arc<Follower>>>,
    waiting_events_max: usize,
    waiting_bytes_max: usize,
    gateways: Gauge,
    left_out: Counter,
}

/// One gateway.
pub(super) struct Follower {
    queue: Sender<Item>,
    waiting_bytes: AtomicUsize,
    lost: AtomicBool,
    /// Rung when something is lost.
    pub(super) woken: Notify,
}

/// What a gateway is told.
pub(super) enum Item {
    Stored(Arc<Event>),
    Reset(Box<Reset>),
    Heard(TopicKey, Position),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Stored(event) => event.draft.size() + ITEM_BYTES,
            Self::Reset(_) | Self::Heard(..) => ITEM_BYTES,
        }
    }
}

impl Follower {
    /// Never blocks: what there is no room for is left out, and the gateway will be told that something was.
    fn push(&self, item: Item, waiting_bytes_max: usize) -> bool {
        let bytes = item.bytes();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        // One item always fits, however large it is.
        if (before == 0 || before + bytes <= waiting_bytes_max) && self.queue.try_send(item).is_ok() {
            return true;
        }
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.lose();
        false
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.woken.notify_one();
    }

    /// `item` has left the queue.
    pub(super) fn taken(&self, item: &Item) {
        self.waiting_bytes.fetch_sub(item.bytes(), Ordering::AcqRel);
    }

    /// Whether items were left out since the last call.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }
}

impl Followers {
    /// Passes everything on to `local`, and to gateways what they are interested in.
    pub fn new(local: Arc<dyn Receive>, options: &Options) -> Arc<Self> {
        Arc::new(Self {
            local,
            interest: RwLock::default(),
            count: AtomicUsize::new(0),
            all: Mutex::default(),
            waiting_events_max: usize::try_from(options.waiting_events_max).unwrap_or(usize::MAX),
            waiting_bytes_max: options.waiting_bytes_max.as_usize(),
            gateways: names::gateways(),
            left_out: names::left_out(),
        })
    }

    /// A gateway that is interested in nothing yet.
    pub(super) fn join(self: &Arc<Self>) -> (Joined, Receiver<Item>) {
        let (queue, items) = mpsc::channel(self.waiting_events_max);
        let follower = Arc::new(Follower {
            queue,
            waiting_bytes: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            woken: Notify::new(),
        });
        self.all.lock().push(Arc::clone(&follower));
        self.count.fetch_add(1, Ordering::AcqRel);
        self.gateways.increment(1.0);
        (Joined { followers: Arc::clone(self), follower, topics: HashSet::new() }, items)
    }

    /// Tells those who are interested in `topic`.
    fn tell(&self, topic: &TopicKey, item: impl Fn() -> Item) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(followers) = self.interest.read().get(topic) {
            for follower in followers {
                if !follower.push(item(), self.waiting_bytes_max) {
                    self.left_out.increment(1);
                }
            }
        }
    }
}

impl Announce for Followers {
    fn stored(&self, events: &[Arc<Event>]) {
        self.local.stored(events);
        for event in events {
            self.tell(&event.topic, || Item::Stored(Arc::clone(event)));
        }
    }

    fn reset(&self, reset: &Reset) {
        self.local.reset(reset);
        self.tell(&reset.topic, || Item::Reset(Box::new(reset.clone())));
    }
}

impl Receive for Followers {
    fn heard(&self, topic: &TopicKey, last: Position) {
        self.local.heard(topic, last);
        self.tell(topic, || Item::Heard(topic.clone(), last));
    }

    fn lost(&self) {
        self.local.lost();
        self.all.lock().iter().for_each(|follower| follower.lose());
    }
}

/// A gateway among the followers, until this is dropped.
pub(super) struct Joined {
    followers: Arc<Followers>,
    pub(super) follower: Arc<Follower>,
    topics: HashSet<TopicKey>,
}

impl Joined {
    /// When it returns, every later event of `topics` is told.
    pub(super) fn attach(&mut self, topics: Vec<TopicKey>) {
        let mut interest = self.followers.interest.write();
        for topic in topics {
            if self.topics.insert(topic.clone()) {
                interest.entry(topic).or_default().push(Arc::clone(&self.follower));
            }
        }
    }

    pub(super) fn detach(&mut self, topics: Vec<TopicKey>) {
        let known: Vec<TopicKey> = topics.into_iter().filter(|topic| self.topics.remove(topic)).collect();
        self.forget(known);
    }

    fn forget(&self, topics: impl IntoIterator<Item = TopicKey>) {
        let mut interest = self.followers.interest.write();
        for topic in topics {
            if let Entry::Occupied(mut followers) = interest.entry(topic) {
                followers.get_mut().retain(|follower| !Arc::ptr_eq(follower, &self.follower));
                if followers.get().is_empty() {
                    followers.remove();
                }
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut self.topics);
        self.forget(topics);
        self.followers.all.lock().retain(|follower| !Arc::ptr_eq(follower, &self.follower));
        self.followers.count.fetch_sub(1, Ordering::AcqRel);
        self.followers.gateways.decrement(1.0);
    }
}
