//! Everybody comes back at once, to a node that has just started.

use std::sync::atomic::Ordering;

use fanfare_bus::{HubOptions, PolicyOptions, Subscribe};
use fanfare_history::Error;
use fanfare_model::{Clock, StartFrom};
use futures_util::future::join_all;

use crate::far::node;
use crate::support::{bus, events, key, small_ring};

#[tokio::test]
async fn the_log_is_read_for_the_first_and_the_others_find_it_in_the_ring() {
    let (test, log, positions) = node(HubOptions::default(), 20).await;
    let mut listeners: Vec<_> = (0..200).map(|number| (test.listener(), 15 + number % 5)).collect();
    join_all(listeners.iter_mut().map(|(listener, seen)| {
        let position = positions[*seen - 1];
        async move { assert_eq!(listener.subscribe("t", StartFrom::After(position)).await.gap, None) }
    }))
    .await;
    test.publish("t", 21..=21).await;
    for (listener, seen) in &mut listeners {
        assert_eq!(listener.until_event(21).await, events(*seen as u64 + 1..=21));
    }
    let reads = log.reads.load(Ordering::SeqCst);
    assert!(reads <= 5, "200 readers at 5 places took {reads} reads");
}

/// More events than a page or the ring has.
#[tokio::test]
async fn who_begins_at_the_start_shares_the_pages_with_others() {
    let (test, log, _) = node(small_ring(), 40).await;
    let mut listeners: Vec<_> = (0..200).map(|_| test.listener()).collect();
    join_all(listeners.iter_mut().map(|listener| async {
        listener.subscribe("t", StartFrom::Start).await;
        assert_eq!(listener.until_event(40).await, events(1..=40));
    }))
    .await;
    let reads = log.reads.load(Ordering::SeqCst);
    // Where they begin, and five pages: some groups, which drift apart a little.
    assert!(reads <= 60, "200 readers of five pages took {reads} reads");
}

#[tokio::test]
async fn who_is_behind_the_ring_reads_the_log() {
    for after in [1, 20, 90, 95, 96, 97, 99, 100] {
        let (test, _, positions) = node(small_ring(), 100).await;
        let mut listener = test.listener();
        let subscribed = listener.subscribe("t", StartFrom::After(positions[after - 1])).await;
        assert_eq!(subscribed.gap, None);
        test.publish("t", 101..=110).await;
        assert_eq!(listener.until_event(110).await, events(after as u64 + 1..=110));
    }
}

#[tokio::test]
async fn a_read_that_fails_fails_for_all_who_waited_for_it() {
    let (test, log, positions) = node(HubOptions::default(), 20).await;
    // Attached: the head is known.
    test.listener().subscribe("t", StartFrom::Now).await;
    log.down.store(true, Ordering::SeqCst);
    let mut readers: Vec<_> = (0..50).map(|_| test.bus.reader()).collect();
    let start = StartFrom::After(positions[15]);
    let subscribe = || Subscribe { topic: key("t"), start, on_slow: None, history: true };
    let answers = join_all(readers.iter_mut().map(|reader| reader.subscribe(subscribe()))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unavailable(_)))), "{answers:?}");
    assert_eq!(log.reads.load(Ordering::SeqCst), 1);
    log.down.store(false, Ordering::SeqCst);
    let mut listener = test.listener();
    listener.subscribe("t", start).await;
    assert_eq!(listener.until_event(20).await, events(17..=20));
}

#[tokio::test]
async fn what_was_read_back_leaves_the_ring_by_age() {
    let test = bus(HubOptions::default(), PolicyOptions::default());
    let positions = test.publish("t", 1..=9).await;
    let mut early = test.listener();
    early.subscribe("t", StartFrom::After(positions[4])).await;
    assert_eq!(early.until_event(9).await, events(6..=9));
    test.clock.set(test.clock.now().plus(std::time::Duration::from_secs(3600)));
    test.publish("t", 10..=10).await;
    assert_eq!(early.until_event(10).await, events(6..=10));
    let mut late = test.listener();
    late.subscribe("t", StartFrom::After(positions[2])).await;
    assert_eq!(late.until_event(10).await, events(4..=10));
}
