//! Brokers with a fault each: random histories find every one of them.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use fanfare_bus::contract::{Announced, Setting, Suite};
use fanfare_bus::{
    Admin, Append, Appended, Broker, Head, LocalBroker, Page, Policies, Read, Receive, TopicPage, TopicsQuery,
};
use fanfare_history::memory::{MemoryLog, Options};
use fanfare_history::{Announce, Capabilities, Error, Reset};
use fanfare_model::{Draft, Event, EventId, ManualClock, Position, TopicKey};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// Of two events that are announced together the first is not, and the second says that there was none.
    LosesNews,
    /// Two events that are announced together have each other's places.
    SwapsNews,
    /// Events at some offsets are not read, and those after them say that there were none.
    LosesEvents,
    /// An id that was there before is stored again.
    StoresTwice,
    /// Truncating takes one event more.
    TruncatesMore,
}

/// Announces wrongly.
struct Crier {
    receive: Arc<dyn Receive>,
    fault: Fault,
}

impl Announce for Crier {
    fn stored(&self, events: &[Arc<Event>]) {
        let told = match (self.fault, events) {
            (Fault::LosesNews, [lost, next, rest @ ..]) if lost.topic == next.topic => {
                let next = Arc::new(Event { prev: lost.prev, ..Event::clone(next) });
                [&[next], rest].concat()
            }
            (Fault::SwapsNews, [one, other, rest @ ..]) if one.topic == other.topic => {
                let with = |event: &Event, draft: &Draft| Arc::new(Event { draft: draft.clone(), ..event.clone() });
                [&[with(one, &other.draft), with(other, &one.draft)], rest].concat()
            }
            _ => events.to_vec(),
        };
        self.receive.stored(&told);
    }

    fn reset(&self, reset: &Reset) {
        self.receive.reset(reset);
    }
}

/// Keeps wrongly.
struct Flawed {
    inner: LocalBroker,
    fault: Fault,
    ids: Mutex<HashSet<(TopicKey, EventId)>>,
}

impl Flawed {
    fn new(setting: Setting, fault: Fault) -> Self {
        let crier: Arc<dyn Announce> = Arc::new(Crier { receive: setting.receive, fault });
        let log = |clock: &Arc<ManualClock>| {
            Arc::new(MemoryLog::new(Arc::clone(clock) as _, Arc::clone(&crier), Options::default()))
        };
        let policies: Arc<Policies> = setting.policies;
        Self {
            inner: LocalBroker::new(log(&setting.clock), log(&setting.clock), policies),
            fault,
            ids: Mutex::default(),
        }
    }

    fn read_wrongly(&self, mut page: Page) -> Page {
        if self.fault == Fault::LosesEvents {
            let is_lost = |offset: u64| offset > 0 && offset.is_multiple_of(7);
            page.events.retain(|event| !is_lost(event.offset));
            for event in page.events.iter_mut().filter(|event| is_lost(event.prev)) {
                *event = Arc::new(Event { prev: event.prev - 1, ..Event::clone(event) });
            }
        }
        page
    }
}

impl Broker for Flawed {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn lossless(&self) -> bool {
        true
    }
    fn publish(&self, mut batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        if self.fault == Fault::StoresTwice {
            for item in &mut batch {
                if !self.ids.lock().insert((item.topic.clone(), item.draft.id.clone())) {
                    item.draft.id = EventId::generate();
                }
            }
        }
        self.inner.publish(batch)
    }
    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.attach(topics)
    }
    fn detach(&self, topics: Vec<TopicKey>) {
        self.inner.detach(topics);
    }
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.inner.heads(topics)
    }
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.inner.read(read).map(|page| page.map(|page| self.read_wrongly(page))).boxed()
    }
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.inner.topics(query)
    }
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        let change = match change {
            Admin::TruncateBefore(topic, before) if self.fault == Fault::TruncatesMore => {
                Admin::TruncateBefore(topic, before + 1)
            }
            change => change,
        };
        self.inner.admin(change)
    }
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.sweep()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.close()
    }
}

impl Receive for Crier {
    fn heard(&self, topic: &TopicKey, last: Position) {
        self.receive.heard(topic, last);
    }

    fn lost(&self) {
        self.receive.lost();
    }
}

/// What random histories say of a broker with this fault.
async fn verdict(fault: Fault) -> Result<(), String> {
    let make = move |setting| std::future::ready(Arc::new(Flawed::new(setting, fault)) as Arc<dyn Broker>);
    let suite = Suite::new(make).nodes(1).announced(Announced::First).histories(400);
    let run = suite.only(|name| name.contains("random_history")).run();
    let ended = AssertUnwindSafe(run).catch_unwind().await;
    ended.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(verdict(Fault::None).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found_and_shown_by_a_short_history() {
    let faults = [Fault::LosesNews, Fault::SwapsNews, Fault::LosesEvents, Fault::StoresTwice, Fault::TruncatesMore];
    for fault in faults {
        let Err(found) = verdict(fault).await else { panic!("{fault:?} is not found") };
        // A step begins a line of its own.
        let steps = found.lines().filter(|line| line.starts_with("    ") && line.ends_with('{')).count();
        assert!((1..=10).contains(&steps), "{fault:?} is shown by {steps} steps: {found}");
    }
}
