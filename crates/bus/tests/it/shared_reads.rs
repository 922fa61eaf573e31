//! The same read, asked for by several at once.

use std::sync::atomic::Ordering;

use fanfare_bus::{HubOptions, Page, Read};
use fanfare_history::{Direction, ReadFrom};
use futures_util::future::join_all;
use futures_util::poll;

use crate::far::node;
use crate::support::{events, key};

fn everything() -> Read {
    let topic = key("t");
    Read { topic, from: ReadFrom::End, direction: Direction::Forward, limit: 100, bytes_max: 100_000, age_max: None }
}

fn last(page: Result<Page, fanfare_bus::Error>) -> u64 {
    page.expect("the log is there").head.last.offset
}

#[tokio::test]
async fn nobody_gets_what_is_older_than_the_question() {
    let (test, log, _) = node(HubOptions::default(), 20).await;
    log.slow.send_replace(true);
    let mut early = Box::pin(test.bus.read(everything()));
    while log.reads.load(Ordering::SeqCst) == 0 {
        assert!(poll!(&mut early).is_pending());
        tokio::task::yield_now().await;
    }
    let mut late: Vec<_> = (0..10).map(|_| Box::pin(test.bus.read(everything()))).collect();
    for reader in &mut late {
        assert!(poll!(reader).is_pending());
    }
    test.publish("t", 21..=21).await;
    let mut latest: Vec<_> = (0..10).map(|_| Box::pin(test.bus.read(everything()))).collect();
    for reader in &mut latest {
        assert!(poll!(reader).is_pending());
    }
    log.slow.send_replace(false);
    assert_eq!(last(early.await), 20, "it was under way before");
    for page in join_all(late.into_iter().chain(latest)).await {
        assert_eq!(last(page), 21);
    }
    assert_eq!(log.reads.load(Ordering::SeqCst), 2, "one that was under way, and one for twenty");
}

/// A session whose socket is full does not look at what it asked for; one that has gone never will.
#[tokio::test]
async fn who_does_not_wait_for_the_answer_holds_nobody_up() {
    let (test, log, _) = node(HubOptions::default(), 20).await;
    log.slow.send_replace(true);
    let (mut full, mut gone) = (Box::pin(test.bus.read(everything())), Box::pin(test.bus.read(everything())));
    assert!(poll!(&mut full).is_pending());
    assert!(poll!(&mut gone).is_pending());
    let mut others: Vec<_> = (0..10).map(|_| Box::pin(test.bus.read(everything()))).collect();
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    log.slow.send_replace(false);
    drop(gone);
    for page in join_all(others).await {
        assert_eq!(page.expect("the log is there").events.len(), events(1..=20).len());
    }
    assert_eq!(last(full.await), 20);
}
