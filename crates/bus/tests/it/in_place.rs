//! Readers that are served in place, by the worker's walk.

use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, HubOptions, PolicyOptions, Reader, Serve, Subscribe, SubscriptionId};
use fanfare_model::StartFrom;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::support::{TestBus, bus, key};

/// Who got which event, in the order in which it was handed out.
type Served = Arc<watch::Sender<Vec<(usize, u64)>>>;

/// A connection, as far as the walk knows one.
struct Seat {
    name: usize,
    reader: Mutex<Reader>,
    served: Served,
    /// It unsubscribes with this event, while it is being served.
    leaves_with: Option<u64>,
}

impl Serve for Seat {
    fn serve(&self) {
        let mut reader = self.reader.lock();
        let mut out = Vec::new();
        let budget = Budget { deliveries: 1000, bytes: usize::MAX };
        // What it would wait for besides are pages of history, which no test here needs.
        while reader.poll(&mut Context::from_waker(Waker::noop()), budget, &mut out).is_ready() {}
        self.served.send_modify(|served| {
            for delivery in out {
                if let Delivery::Event { id, entry } = delivery {
                    served.push((self.name, entry.event.offset));
                    if self.leaves_with == Some(entry.event.offset) {
                        reader.unsubscribe(id);
                    }
                }
            }
        });
    }
}

async fn seat(test: &TestBus, name: usize, topic: &str, served: &Served, leaves_with: Option<u64>) -> Arc<Seat> {
    let mut reader = test.bus.reader();
    let request = Subscribe { topic: key(topic), start: StartFrom::Now, on_slow: None, history: true };
    let subscribed = reader.subscribe(request).await.unwrap();
    assert_eq!(subscribed.id, SubscriptionId(0));
    Arc::new_cyclic(|seat: &Weak<Seat>| {
        reader.serve_in_place(Weak::clone(seat) as Weak<dyn Serve>);
        Seat { name, reader: Mutex::new(reader), served: Arc::clone(served), leaves_with }
    })
}

async fn wait_for(served: &Served, count: usize) -> Vec<(usize, u64)> {
    let mut news = served.subscribe();
    let all = tokio::time::timeout(Duration::from_secs(20), news.wait_for(|served| served.len() >= count)).await;
    all.unwrap_or_else(|_| panic!("{} of {count} in time", served.borrow().len())).unwrap().clone()
}

#[tokio::test]
async fn everybody_is_served_each_event_once_and_in_order() {
    const READERS: usize = 1000;
    const EVENTS: u64 = 50;
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let served = Served::default();
    let mut seats = Vec::new();
    for name in 0..READERS {
        seats.push(seat(&test, name, "hot", &served, None).await);
    }
    // Walks are under way while more is published.
    for n in 1..=EVENTS {
        test.publish("hot", n..=n).await;
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let served = wait_for(&served, READERS * usize::try_from(EVENTS).unwrap()).await;
    for seat in &seats {
        let got: Vec<u64> = served.iter().filter(|(name, _)| *name == seat.name).map(|(_, offset)| *offset).collect();
        assert_eq!(got, (1..=EVENTS).collect::<Vec<_>>(), "reader {}", seat.name);
    }
}

#[tokio::test]
async fn a_topic_with_many_readers_does_not_hold_up_the_others() {
    const READERS: usize = 5000;
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let served = Served::default();
    let mut seats = Vec::new();
    for name in 0..READERS {
        seats.push(seat(&test, name, "hot", &served, None).await);
    }
    seats.push(seat(&test, READERS, "quiet", &served, None).await);
    test.publish("hot", 1..=1).await;
    test.publish("quiet", 1..=1).await;
    let served = wait_for(&served, READERS + 1).await;
    let at = served.iter().position(|(name, _)| *name == READERS).unwrap();
    assert!(at <= 256, "{at} readers of the other topic came first");
}

#[tokio::test]
async fn who_is_served_may_leave_meanwhile() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let served = Served::default();
    let mut seats = Vec::new();
    for name in 0..200 {
        seats.push(seat(&test, name, "t", &served, (name % 2 == 0).then_some(1)).await);
    }
    test.publish("t", 1..=1).await;
    wait_for(&served, 200).await;
    // One that is gone altogether is passed over.
    seats.truncate(199);
    test.publish("t", 2..=2).await;
    let served = wait_for(&served, 200 + 99).await;
    assert!(served[200..].iter().all(|(name, offset)| name % 2 == 1 && *offset == 2));
}
