//! A carrier that loses, doubles and reorders what it announces: readers still get every event once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_bus::{
    Admin, Append, Appended, Broker, Head, Hub, HubOptions, Page, PolicyOptions, Read, Receive, TopicPage, TopicsQuery,
};
use fanfare_history::{Announce, Capabilities, Error, Log, Reset};
use fanfare_model::{Event, Gap, GapReason, ManualClock, StartFrom, Timestamp, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::{Got, TestBus, events, key, memory_log, policies, small_ring, start};

/// What lies between the log and the hub.
struct Lossy {
    hub: Arc<Hub>,
    dice: Mutex<StdRng>,
    /// Announcements that are late.
    late: Mutex<Vec<Arc<Event>>>,
}

impl Announce for Lossy {
    fn stored(&self, events: &[Arc<Event>]) {
        for event in events {
            let mut pass = Vec::new();
            match self.dice.lock().random_range(0..10) {
                0..3 => {}
                3..5 => pass.extend([Arc::clone(event), Arc::clone(event)]),
                5..7 => self.late.lock().push(Arc::clone(event)),
                7 => {
                    pass.push(Arc::clone(event));
                    pass.append(&mut self.late.lock());
                }
                _ => pass.push(Arc::clone(event)),
            }
            self.hub.stored(&pass);
        }
    }

    fn reset(&self, reset: &Reset) {
        self.hub.reset(reset);
    }
}

struct LossyBroker(Arc<dyn Log>);

impl Broker for LossyBroker {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn lossless(&self) -> bool {
        false
    }
    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.0.append(batch)
    }
    fn attach(&self, _: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
    fn detach(&self, _: Vec<TopicKey>) {}
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.0.heads(topics)
    }
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.0.read(read)
    }
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.0.topics(query)
    }
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.0.admin(change)
    }
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.sweep()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.0.close()
    }
}

fn lossy_bus(seed: u64, head_check_interval: Duration) -> (TestBus, Arc<Hub>) {
    let options =
        HubOptions { head_check_interval: fanfare_model::Duration(head_check_interval), ..HubOptions::default() };
    let hub = Hub::new(options, policies(PolicyOptions::default()), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
    let dice = Mutex::new(StdRng::seed_from_u64(seed));
    let lossy = Arc::new(Lossy { hub: Arc::clone(&hub), dice, late: Mutex::default() });
    let log = memory_log(&clock, lossy);
    (start(Arc::clone(&hub), Arc::new(LossyBroker(log)), clock), hub)
}

#[tokio::test]
async fn readers_are_complete_and_in_order() {
    for seed in 0..20 {
        let (test, _) = lossy_bus(seed, Duration::from_millis(50));
        let mut listener = test.listener();
        listener.subscribe("t", StartFrom::Now).await;
        for batch in 0..20_u64 {
            test.publish("t", batch * 10 + 1..=batch * 10 + 10).await;
        }
        // If the last announcement was lost only the comparison of heads can tell.
        assert_eq!(listener.until_event(200).await, events(1..=200), "seed {seed}");
    }
}

#[tokio::test]
async fn a_remade_connection_compares_heads_at_once() {
    // An interval that this test will not live to see.
    let (test, hub) = lossy_bus(0, Duration::from_secs(3600));
    let mut listener = test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    for n in 1..=50 {
        test.publish("t", n..=n).await;
    }
    hub.lost();
    assert_eq!(listener.until_event(50).await, events(1..=50));
}

/// Passes everything on, or nothing.
struct Cable {
    hub: Arc<Hub>,
    is_cut: AtomicBool,
}

impl Announce for Cable {
    fn stored(&self, events: &[Arc<Event>]) {
        if !self.is_cut.load(Ordering::SeqCst) {
            self.hub.stored(events);
        }
    }

    fn reset(&self, reset: &Reset) {
        if !self.is_cut.load(Ordering::SeqCst) {
            self.hub.reset(reset);
        }
    }
}

/// The log says so to who reads it, before anybody else does. A reader that believed its tail instead would read the log
/// again and again, and its worker do nothing else.
#[tokio::test]
async fn a_purge_that_is_not_announced_is_told_to_who_is_behind() {
    let options =
        HubOptions { head_check_interval: fanfare_model::Duration(Duration::from_secs(3600)), ..small_ring() };
    let hub = Hub::new(options, policies(PolicyOptions::default()), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
    let cable = Arc::new(Cable { hub: Arc::clone(&hub), is_cut: AtomicBool::new(false) });
    let log = memory_log(&clock, Arc::clone(&cable) as _);
    let test = start(hub, Arc::new(LossyBroker(log)), clock);
    let mut listener = test.listener();
    listener.subscribe("t", StartFrom::Now).await;
    test.publish("t", 1..=20).await;
    cable.is_cut.store(true, Ordering::SeqCst);
    test.bus.admin(Admin::Purge(key("t"))).await.unwrap();
    test.publish("t", 21..=23).await;
    let told = Got::Gap(Gap { from: 1, to: 0, reason: GapReason::Epoch });
    assert_eq!(listener.until_event(23).await, [vec![told], events(21..=23)].concat());
}
