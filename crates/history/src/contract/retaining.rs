//! What is kept, and for how long; purging and truncating.

use std::sync::Arc;
use std::time::Duration;

use super::{Bench, backward, cases, forward, keep_all, numbered, offsets, topic, with_id};
use crate::{Admin, Head, Keep, Read, ReadFrom};

cases! {
    by_count,
    by_bytes,
    by_age,
    nothing_kept_is_still_ordered,
    a_new_policy_keeps_less,
    purging_begins_a_new_epoch,
    truncating,
}

fn end(head: Head) -> (u64, u64, u64) {
    (head.first, head.last.offset, head.events)
}

// 18, 20
async fn by_count(bench: Bench) {
    let a = topic("a");
    let keep = Arc::new(Keep { events_max: Some(5), age_max: None, ..Keep::default() });
    for n in 1..=12_u64 {
        bench.append(&a, &keep, numbered(0)).await;
        let head = bench.head(&a).await;
        assert_eq!(end(head), (n.saturating_sub(4).max(1), n, n.min(5)));
    }
    // More than fits in one batch.
    bench.fill(&a, &keep, 20).await;
    let page = bench.read(forward(&a, ReadFrom::Offset(3))).await;
    assert_eq!(offsets(&page.events), (28..=32).collect::<Vec<_>>());
    assert_eq!(end(page.head), (28, 32, 5), "what was trimmed is told by `first`");
    assert_eq!(page.head.bytes, page.events.iter().map(|event| event.draft.size() as u64).sum::<u64>());
    assert_eq!(page.events[0].prev, 27);
    assert_eq!(bench.setting.heard.events(&a).len(), 32);
}

async fn by_bytes(bench: Bench) {
    let a = topic("a");
    let size = numbered(10).size() as u64;
    let keep = Arc::new(Keep { events_max: None, bytes_max: Some(3 * size), age_max: None, ..Keep::default() });
    for _ in 0..10 {
        bench.append(&a, &keep, numbered(10)).await;
    }
    let head = bench.head(&a).await;
    assert_eq!((end(head), head.bytes), ((8, 10, 3), 3 * size));
    assert_eq!(offsets(&bench.all(&a).await), [8, 9, 10]);
}

// 19
async fn by_age(bench: Bench) {
    let a = topic("a");
    let age = Duration::from_secs(60);
    let keep = Arc::new(Keep { events_max: None, age_max: Some(age), ..Keep::default() });
    for _ in 0..5 {
        bench.fill(&a, &keep, 2).await;
        bench.advance(20);
    }
    // Now the events are 100, 80, 60, 40 and 20 seconds old. Those of 60 seconds are not older than that.
    let young = |read| Read { age_max: Some(age), ..read };
    let page = bench.read(young(forward(&a, ReadFrom::Offset(1)))).await;
    assert_eq!((offsets(&page.events), page.head.first), ((5..=10).collect(), 5), "hidden though not yet removed");
    let page = bench.read(young(backward(&a, ReadFrom::Offset(7)))).await;
    assert_eq!((offsets(&page.events), page.more), (vec![7, 6, 5], false));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 4);
    assert_eq!(end(bench.head(&a).await), (5, 10, 6));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 0);
    bench.advance(20);
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 2);
    bench.advance(1000);
    let page = bench.read(young(forward(&a, ReadFrom::End))).await;
    assert_eq!((page.events.len(), page.head.first, page.head.last.offset), (0, 11, 10));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 4);
    let last = Arc::clone(&bench.setting.heard.events(&a)[9]);
    let head = bench.head(&a).await;
    assert_eq!((end(head), head.bytes), ((11, 10, 0), 0));
    assert_eq!((head.last, head.time), (last.position(), Some(last.time)), "the head outlives the events");
    bench.append(&a, &keep, numbered(0)).await;
    let event = &bench.all(&a).await[0];
    assert_eq!((event.offset, event.prev), (11, 10));
    // The topic is due again.
    bench.advance(61);
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 1);
}

async fn nothing_kept_is_still_ordered(bench: Bench) {
    let a = topic("a");
    let keep = Arc::new(Keep { events_max: Some(0), ..Keep::default() });
    bench.fill(&a, &keep, 3).await;
    let appended = bench.append(&a, &keep, with_id("x", "")).await;
    assert!(bench.append(&a, &keep, with_id("x", "")).await.duplicate);
    let head = bench.head(&a).await;
    assert_eq!((end(head), head.bytes, head.last), ((5, 4, 0), 0, appended.position));
    assert!(bench.all(&a).await.is_empty());
    assert_eq!(offsets(&bench.setting.heard.events(&a)), [1, 2, 3, 4]);
}

async fn a_new_policy_keeps_less(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 50).await;
    let few = Arc::new(Keep { events_max: Some(3), ..Keep::default() });
    bench.append(&a, &few, numbered(0)).await;
    assert_eq!(end(bench.head(&a).await), (49, 51, 3));
    bench.fill(&a, &keep, 10).await;
    bench.advance(100);
    // An age limit that was not there before holds for what was there before.
    let young = Arc::new(Keep { age_max: Some(Duration::from_secs(60)), ..Keep::default() });
    bench.append(&a, &young, numbered(0)).await;
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 13);
    assert_eq!(end(bench.head(&a).await), (62, 62, 1));
}

// 21
async fn purging_begins_a_new_epoch(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 5).await;
    bench.append(&a, &keep, with_id("x", "")).await;
    let old = bench.head(&a).await;
    let head = bench.log.admin(Admin::Purge(a.clone())).await.expect("the purge succeeds");
    assert_ne!(head.last.epoch, old.last.epoch);
    assert_eq!(head, Head::empty(head.last.epoch));
    assert_eq!(bench.head(&a).await, head);
    assert!(bench.all(&a).await.is_empty());
    let resets = bench.setting.heard.resets();
    assert_eq!(resets.iter().map(|reset| (&reset.topic, reset.head)).collect::<Vec<_>>(), [(&a, head)]);
    let again = bench.append(&a, &keep, with_id("x", "")).await;
    assert!(!again.duplicate, "ids are forgotten");
    assert_eq!((again.position.epoch, again.position.offset), (head.last.epoch, 1));
    bench.log.sweep().await.expect("the sweep succeeds");
    assert_eq!(offsets(&bench.all(&a).await), [1]);
    assert_eq!(bench.all(&a).await[0].prev, 0);
}

async fn truncating(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 10).await;
    let last = bench.head(&a).await.last;
    for (before, expected) in [(0, (1, 10, 10)), (4, (4, 10, 7)), (2, (4, 10, 7)), (100, (11, 10, 0))] {
        let head = bench.log.admin(Admin::TruncateBefore(a.clone(), before)).await.expect("it is truncated");
        assert_eq!((end(head), head.last), (expected, last));
        assert_eq!(bench.head(&a).await, head);
        assert_eq!(bench.all(&a).await.len() as u64, expected.2);
    }
    assert!(bench.setting.heard.resets().is_empty());
    assert_eq!(bench.append(&a, &keep, numbered(0)).await.position.offset, 11);
    let unknown = bench.log.admin(Admin::TruncateBefore(topic("b"), 5)).await.expect("it is truncated");
    assert_eq!(end(unknown), (1, 0, 0));
}
