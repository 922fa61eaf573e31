//! What is kept, and for how long; purging and truncating.

use std::sync::Arc;
use std::time::Duration;

use super::kinds::{BYTES, FIVE, MINUTE, SECOND, everything};
use super::{Bench, backward, cases, ends, forward, numbered, of_kind, offsets, topic, with_id};
use crate::{Admin, Head, Keep, Read, ReadFrom, Retention};

cases! {
    by_count,
    by_bytes,
    by_age,
    by_age_of_the_engine,
    nothing_kept_is_still_ordered,
    a_new_policy_keeps_less,
    purging_begins_a_new_epoch,
    truncating,
}

// 18, 20
async fn by_count(bench: Bench) {
    let a = of_kind(FIVE);
    let mut places = Vec::new();
    for n in 1..=12_usize {
        places.push(bench.append(&a, numbered(0)).await.position.offset);
        let head = bench.head(&a).await;
        assert_eq!(ends(head), (places[n.saturating_sub(5)], places[n - 1], n.min(5) as u64));
    }
    // More than fits in one batch.
    places.extend(bench.fill(&a, 20).await);
    bench.assert_places(&places);
    let page = bench.read(forward(&a, ReadFrom::Offset(3))).await;
    assert_eq!(offsets(&page.events), places[27..]);
    assert_eq!(ends(page.head), (places[27], places[31], 5), "what was trimmed is told by `first`");
    bench.assert_bytes(page.head, page.events.iter().map(|event| event.draft.size() as u64).sum());
    assert_eq!(page.events[0].prev, places[26]);
    if bench.announced != super::Announced::Perhaps {
        assert_eq!(offsets(&bench.setting.heard.until_events(&a, 32).await), places);
    }
}

async fn by_bytes(bench: Bench) {
    if !bench.can.bounds_bytes {
        return;
    }
    let a = of_kind(BYTES);
    let size = numbered(10).size() as u64;
    let mut places = Vec::new();
    for _ in 0..10 {
        places.push(bench.append(&a, numbered(10)).await.position.offset);
    }
    let head = bench.head(&a).await;
    assert_eq!((ends(head), head.bytes), ((places[7], places[9], 3), 3 * size));
    assert_eq!(offsets(&bench.all(&a).await), places[7..]);
}

// 19
async fn by_age(bench: Bench) {
    if !bench.has_time() {
        return;
    }
    let a = of_kind(MINUTE);
    let age = Duration::from_secs(60);
    let mut places = Vec::new();
    for _ in 0..5 {
        places.extend(bench.fill(&a, 2).await);
        bench.advance(20);
    }
    // Now the events are 100, 80, 60, 40 and 20 seconds old. Those of 60 seconds are not older than that.
    let young = |read| Read { age_max: Some(age), ..read };
    let page = bench.read(young(forward(&a, ReadFrom::Offset(1)))).await;
    assert_eq!((offsets(&page.events), page.head.first), (places[4..].to_vec(), places[4]), "hidden, if not removed");
    let page = bench.read(young(backward(&a, ReadFrom::Offset(places[6])))).await;
    let expected = vec![places[6], places[5], places[4]];
    assert_eq!((offsets(&page.events), page.more), (expected, false));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 4);
    assert_eq!(ends(bench.head(&a).await), (places[4], places[9], 6));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 0);
    bench.advance(20);
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 2);
    let last = bench.head(&a).await;
    bench.advance(1000);
    let page = bench.read(young(forward(&a, ReadFrom::End))).await;
    assert_eq!((page.events.len(), page.head.first, page.head.last.offset), (0, places[9] + 1, places[9]));
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 4);
    let head = bench.head(&a).await;
    assert_eq!((ends(head), head.bytes), ((places[9] + 1, places[9], 0), 0));
    assert_eq!((head.last, head.time), (last.last, last.time), "the head outlives the events");
    bench.append(&a, numbered(0)).await;
    let event = &bench.all(&a).await[0];
    assert!(event.offset > places[9] && event.prev == places[9]);
    // The topic is due again.
    bench.advance(61);
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 1);
}

// 19, where time cannot be made to pass
async fn by_age_of_the_engine(bench: Bench) {
    if bench.has_time() {
        return;
    }
    let a = of_kind(SECOND);
    let places = bench.fill(&a, 3).await;
    let young = Read { age_max: Some(Duration::from_secs(1)), ..forward(&a, ReadFrom::End) };
    let aged = async {
        loop {
            let page = bench.read(young.clone()).await;
            if page.events.is_empty() {
                return page.head;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let head = tokio::time::timeout(Duration::from_secs(60), aged).await.expect("what is older is not read any more");
    assert_eq!((head.first, head.last.offset), (places[2] + 1, places[2]), "the head outlives the events");
    bench.log.sweep().await.expect("the sweep succeeds");
    // On a machine that is busy for a second this one is too old as well when it is looked for.
    let (mut before, mut tries) = (places[2], 0);
    let page = loop {
        let appended = bench.append(&a, numbered(0)).await.position.offset;
        let page = bench.read(young.clone()).await;
        if !page.events.is_empty() {
            break page;
        }
        (before, tries) = (appended, tries + 1);
        assert!(tries < 20, "what is young is read");
    };
    assert_eq!(page.events.iter().map(|event| event.prev).collect::<Vec<_>>(), [before]);
}

async fn nothing_kept_is_still_ordered(bench: Bench) {
    if bench.can.retention != Retention::PerAppend {
        return;
    }
    let a = topic("a");
    let keep = Arc::new(Keep { events_max: Some(0), ..everything() });
    let mut places = Vec::new();
    for n in 0..3 {
        places.push(bench.append_kept(&a, &keep, numbered(n)).await.expect("it is accepted").position.offset);
    }
    let last = bench.append_kept(&a, &keep, with_id("x", "")).await.expect("it is accepted").position;
    places.push(last.offset);
    assert!(bench.append_kept(&a, &keep, with_id("x", "")).await.expect("it is accepted").duplicate);
    bench.assert_places(&places);
    let head = bench.head(&a).await;
    assert_eq!((ends(head), head.bytes, head.last), ((last.offset + 1, last.offset, 0), 0, last));
    assert!(bench.all(&a).await.is_empty());
    if bench.announced != super::Announced::Perhaps {
        assert_eq!(offsets(&bench.setting.heard.until_events(&a, 4).await), places);
    }
}

async fn a_new_policy_keeps_less(bench: Bench) {
    if bench.can.retention != Retention::PerAppend {
        return;
    }
    let a = topic("a");
    let mut places = bench.fill(&a, 50).await;
    let few = Arc::new(Keep { events_max: Some(3), ..everything() });
    places.push(bench.append_kept(&a, &few, numbered(0)).await.expect("it is accepted").position.offset);
    assert_eq!(ends(bench.head(&a).await), (places[48], places[50], 3));
    places.extend(bench.fill(&a, 10).await);
    if !bench.has_time() {
        return;
    }
    bench.advance(100);
    // An age limit that was not there before holds for what was there before.
    let young = Arc::new(Keep { age_max: Some(Duration::from_secs(60)), ..everything() });
    let last = bench.append_kept(&a, &young, numbered(0)).await.expect("it is accepted").position.offset;
    assert_eq!(bench.log.sweep().await.expect("the sweep succeeds"), 13);
    assert_eq!(ends(bench.head(&a).await), (last, last, 1));
}

// 21
async fn purging_begins_a_new_epoch(bench: Bench) {
    let a = topic("a");
    bench.fill(&a, 5).await;
    bench.append(&a, with_id("x", "")).await;
    let old = bench.head(&a).await;
    let head = bench.log.admin(Admin::Purge(a.clone())).await.expect("the purge succeeds");
    assert_ne!(head.last.epoch, old.last.epoch);
    assert_eq!(head, Head::empty(head.last.epoch));
    assert_eq!(bench.head(&a).await, head);
    assert!(bench.all(&a).await.is_empty());
    if bench.announced != super::Announced::Perhaps {
        let resets = bench.setting.heard.until_resets(1).await;
        assert_eq!(resets.iter().map(|reset| (&reset.topic, reset.head)).collect::<Vec<_>>(), [(&a, head)]);
    }
    let again = bench.append(&a, with_id("x", "")).await;
    assert!(!again.duplicate, "ids are forgotten");
    assert_eq!(again.position.epoch, head.last.epoch);
    bench.assert_places(&[again.position.offset]);
    bench.log.sweep().await.expect("the sweep succeeds");
    let events = bench.all(&a).await;
    assert_eq!(offsets(&events), [again.position.offset]);
    assert_eq!(events[0].prev, 0);
}

async fn truncating(bench: Bench) {
    if !bench.can.truncates {
        return;
    }
    let a = topic("a");
    let places = bench.fill(&a, 10).await;
    let (last, after) = (bench.head(&a).await.last, places[9] + 1);
    for (before, first, kept) in
        [(0, places[0], 10), (places[3], places[3], 7), (places[1], places[3], 7), (after + 90, after, 0)]
    {
        let head = bench.log.admin(Admin::TruncateBefore(a.clone(), before)).await.expect("it is truncated");
        assert_eq!((ends(head), head.last), ((first, last.offset, kept), last));
        assert_eq!(bench.head(&a).await, head);
        assert_eq!(bench.all(&a).await.len() as u64, kept);
    }
    assert!(bench.setting.heard.resets().is_empty());
    bench.append(&a, numbered(0)).await;
    let events = bench.all(&a).await;
    assert!(events[0].offset >= after && events[0].prev == places[9]);
    let unknown = bench.log.admin(Admin::TruncateBefore(topic("b"), 5)).await.expect("it is truncated");
    assert_eq!(ends(unknown), (1, 0, 0));
}
