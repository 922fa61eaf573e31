//! A carrier within one process, for tests with several nodes.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use fanfare_history::memory::{MemoryLog, Options};
use fanfare_history::{Announce, Append, Appended, Error, Head, Log as _, Reset};
use fanfare_model::{Clock, Event, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::faults::Faults;
use crate::broker::Receive;
use crate::fanout::Fanout;

/// Events with more bytes are not carried, only told of.
const CARRIED_BYTES_MAX: usize = 64 << 10;

/// Carries between the nodes that joined it, within the call. One that is [`Carrier::lossy`] loses, doubles and reorders
/// what logs have stored and what passes; it tells nobody.
pub struct Carrier {
    roads: Arc<Roads>,
    passing: MemoryLog,
}

/// The ways to the nodes.
struct Roads {
    nodes: Mutex<Vec<Arc<Road>>>,
    faults: Option<Mutex<Faults>>,
}

struct Road {
    receive: Arc<dyn Receive>,
    attached: Mutex<HashSet<TopicKey>>,
}

impl Carrier {
    /// One that loses nothing.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with(clock, None)
    }

    /// One that loses three of ten; the seed says which.
    pub fn lossy(clock: Arc<dyn Clock>, seed: u64) -> Arc<Self> {
        Self::with(clock, Some(Mutex::new(Faults::new(seed))))
    }

    fn with(clock: Arc<dyn Clock>, faults: Option<Mutex<Faults>>) -> Arc<Self> {
        let roads = Arc::new(Roads { nodes: Mutex::default(), faults });
        let passing = MemoryLog::new(clock, Arc::clone(&roads) as _, Options::default());
        Arc::new(Self { roads, passing })
    }

    /// The carrier as a node has it.
    pub fn join(self: &Arc<Self>, receive: Arc<dyn Receive>) -> Arc<dyn Fanout> {
        let road = Arc::new(Road { receive, attached: Mutex::default() });
        self.roads.nodes.lock().push(Arc::clone(&road));
        Arc::new(Joined { carrier: Arc::clone(self), road })
    }

    /// Who is to hear what a log stores that all nodes share. Does not keep the carrier alive.
    pub fn announcer(&self) -> Arc<dyn Announce> {
        Arc::new(ToAll(Arc::downgrade(&self.roads)))
    }
}

impl Roads {
    fn nodes(&self) -> Vec<Arc<Road>> {
        self.nodes.lock().clone()
    }

    fn carry(&self, events: &[Arc<Event>]) {
        for road in self.nodes() {
            for event in events.iter().filter(|event| road.leads(&event.topic)) {
                // Each node loses others.
                let pass = match &self.faults {
                    None => vec![Arc::clone(event)],
                    Some(faults) => faults.lock().pass(event),
                };
                for event in pass {
                    road.tell(&event);
                }
            }
        }
    }
}

impl Road {
    fn leads(&self, topic: &TopicKey) -> bool {
        self.attached.lock().contains(topic)
    }

    fn tell(&self, event: &Arc<Event>) {
        if event.draft.size() > CARRIED_BYTES_MAX {
            self.receive.heard(&event.topic, event.position());
        } else if self.leads(&event.topic) {
            self.receive.stored(std::slice::from_ref(event));
        }
    }
}

impl Announce for Roads {
    fn stored(&self, events: &[Arc<Event>]) {
        self.carry(events);
    }

    fn reset(&self, reset: &Reset) {
        for road in self.nodes() {
            if road.leads(&reset.topic) {
                road.receive.reset(reset);
            }
        }
    }
}

struct ToAll(Weak<Roads>);

impl Announce for ToAll {
    fn stored(&self, events: &[Arc<Event>]) {
        if let Some(roads) = self.0.upgrade() {
            roads.carry(events);
        }
    }

    fn reset(&self, reset: &Reset) {
        if let Some(roads) = self.0.upgrade() {
            roads.reset(reset);
        }
    }
}

/// A node's end of a carrier.
struct Joined {
    carrier: Arc<Carrier>,
    road: Arc<Road>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.carrier.roads.nodes.lock().retain(|road| !Arc::ptr_eq(road, &self.road));
    }
}

impl Fanout for Joined {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        self.road.attached.lock().extend(topics);
        Box::pin(std::future::ready(Ok(())))
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        let mut attached = self.road.attached.lock();
        for topic in topics {
            attached.remove(&topic);
        }
    }

    fn send(&self, events: &[Arc<Event>]) {
        self.carrier.roads.carry(events);
    }

    fn reset(&self, reset: &Reset) {
        self.carrier.roads.reset(reset);
    }

    fn pass(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.carrier.passing.append(batch)
    }

    fn passing(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.carrier.passing.heads(topics)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.road.attached.lock().clear();
        Box::pin(std::future::ready(Ok(())))
    }
}
