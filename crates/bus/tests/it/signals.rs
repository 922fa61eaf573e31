//! Signals: announced on a topic's companion, never stored.

use std::sync::Arc;

use fanfare_bus::{
    Budget, Delivery, Hub, HubOptions, LocalBroker, OnSlow, PolicyOptions, Reader, Subscribe, TopicsQuery,
};
use fanfare_history::memory::{MemoryLog, Options};
use fanfare_model::{Data, GapReason, ManualClock, StartFrom, Tenant, Timestamp, Topic, TopicKey};

use crate::support::{TestBus, bus, key, memory_log, policies, small_ring, start};

async fn watch(test: &TestBus, topic: &str) -> Reader {
    let mut reader = test.bus.reader();
    let topic = TopicKey::new(Tenant::default(), Topic::new(topic).unwrap().signals());
    let request = Subscribe { topic, start: StartFrom::Now, on_slow: Some(OnSlow::Skip), history: false };
    reader.subscribe(request).await.unwrap();
    reader
}

async fn signal(test: &TestBus, topic: &str, n: u64) {
    let data = Data::json(n.to_string()).unwrap();
    test.bus.signal(&Tenant::default(), &Topic::new(topic).unwrap(), "presence", data).await.unwrap();
}

/// What comes next: numbers, or the reason of a gap.
async fn take(reader: &mut Reader) -> Vec<Result<u64, GapReason>> {
    let mut out = Vec::new();
    let budget = Budget { deliveries: 100, bytes: 1 << 20 };
    let polled = std::future::poll_fn(|cx| reader.poll(cx, budget, &mut out));
    tokio::time::timeout(std::time::Duration::from_secs(20), polled).await.expect("something comes");
    let told = |delivery| match delivery {
        Delivery::Event { entry, .. } => Ok(entry.event.draft.data.as_text().unwrap().parse().unwrap()),
        Delivery::Gap { gap, .. } => Err(gap.reason),
        Delivery::Ended { why, .. } => panic!("ended: {why:?}"),
    };
    out.into_iter().map(told).collect()
}

#[tokio::test]
async fn a_signal_reaches_who_watches_and_nobody_else() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let mut watcher = watch(&test, "chat:1").await;
    let mut listener = test.listener();
    listener.subscribe("chat:1", StartFrom::Start).await;
    signal(&test, "chat:1", 1).await;
    signal(&test, "chat:2", 2).await;
    test.publish("chat:1", 3..=3).await;
    signal(&test, "chat:1", 4).await;
    let mut got = take(&mut watcher).await;
    while got.len() < 2 {
        got.extend(take(&mut watcher).await);
    }
    assert_eq!(got, [Ok(1), Ok(4)]);
    assert_eq!(listener.until_event(3).await.len(), 1);
    let heads = test.bus.heads(vec![key("chat:1")]).await.unwrap();
    assert_eq!(heads[0].last.offset, 1, "the log of the topic has the event only");
    let query = TopicsQuery { tenant: Tenant::default(), prefix: String::new(), after: None, limit: 10 };
    let listed = test.bus.topics(query).await.unwrap().topics;
    assert_eq!(listed.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>(), [Topic::new("chat:1").unwrap()]);
}

#[tokio::test]
async fn who_was_too_slow_is_told_of_a_gap() {
    let test = bus(small_ring(), PolicyOptions::default());
    let mut watcher = watch(&test, "chat:1").await;
    for n in 1..=20 {
        signal(&test, "chat:1", n).await;
    }
    assert_eq!(take(&mut watcher).await, [Err(GapReason::Slow), Ok(20)]);
}

/// Of topics that keep nothing so many heads are remembered. Who listens to one that was forgotten hears what comes next.
#[tokio::test]
async fn a_companion_that_was_forgotten_comes_back() {
    let policies = policies(PolicyOptions::default());
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000)));
    let few = Options { topics_max: 16, ..Options::default() };
    let passing = Arc::new(MemoryLog::new(Arc::clone(&clock) as _, Arc::clone(&hub) as _, few));
    let log = memory_log(&clock, Arc::clone(&hub) as _);
    let test = start(hub, Arc::new(LocalBroker::new(log, passing, policies)), clock);
    let mut watcher = watch(&test, "chat:1").await;
    let mut quiet = watch(&test, "chat:2").await;
    signal(&test, "chat:1", 1).await;
    assert_eq!(take(&mut watcher).await, [Ok(1)]);
    for n in 0..500 {
        signal(&test, &format!("other:{n}"), n).await;
    }
    signal(&test, "chat:1", 2).await;
    signal(&test, "chat:1", 3).await;
    assert_eq!(take(&mut watcher).await, [Err(GapReason::Epoch), Ok(2), Ok(3)]);
    signal(&test, "chat:2", 4).await;
    assert_eq!(take(&mut quiet).await, [Err(GapReason::Epoch), Ok(4)]);
}
