//! Events that are gone before they were done.

use std::sync::Arc;

use fanfare_bus::Admin;
use fanfare_consumer::{Act, Begin, Cursors as _, Error, Handle, Key, MemoryCursors, Options, Swap};
use fanfare_model::{Clock as _, Gap, GapReason, Position, StartFrom, Tag};

use crate::support::{Bench, key, name, offsets, pull};

fn trimmed(from: u64, to: u64) -> Option<Gap> {
    let gap = Gap { from, to, reason: GapReason::Trimmed };
    (from <= to).then_some(gap)
}

#[tokio::test]
async fn a_new_consumer_begins_where_it_is_told_and_sees_no_gap() {
    let bench = Bench::new();
    bench.publish("short:a", 1..=25).await;
    let leased = bench.pull("short:a", 100).await;
    assert_eq!((offsets(&leased), leased.gap), ((16..=25).collect(), None));
    let bench = Bench::with(Options { begin: Begin::Now, ..Options::default() });
    bench.publish("short:a", 1..=25).await;
    assert_eq!(bench.pull("short:a", 100).await.lease, None);
    bench.publish("short:a", 26..=26).await;
    assert_eq!(offsets(&bench.pull("short:a", 100).await), [26]);
}

#[tokio::test]
async fn what_was_trimmed_is_told_until_it_is_acknowledged() {
    let bench = Bench::new();
    bench.publish("short:a", 1..=3).await;
    let done = bench.pull("short:a", 2).await;
    bench.ack("short:a", &done, Act::All).await;
    bench.publish("short:a", 4..=25).await;
    let leased = bench.pull("short:a", 2).await;
    assert_eq!((offsets(&leased), leased.gap), (vec![16, 17], trimmed(3, 15)));
    bench.advance(30);
    let again = bench.pull("short:a", 2).await;
    assert_eq!((offsets(&again), again.gap, again.deliveries[0]), (vec![16, 17], trimmed(3, 15), 2));
    assert_eq!(bench.ack("short:a", &again, Act::UpTo(16)).await, 16);
    bench.advance(30);
    let rest = bench.pull("short:a", 2).await;
    assert_eq!((offsets(&rest), rest.gap), (vec![17], None), "the gap was acknowledged with what came after it");
}

#[tokio::test]
async fn what_is_trimmed_while_it_is_out_is_told_when_it_comes_again() {
    let bench = Bench::new();
    bench.publish("short:a", 1..=10).await;
    assert_eq!(bench.pull("short:a", 5).await.events.len(), 5);
    bench.publish("short:a", 11..=13).await;
    bench.advance(30);
    let again = bench.pull("short:a", 100).await;
    assert_eq!((offsets(&again), again.gap), (vec![4, 5], trimmed(1, 3)));
    bench.publish("short:a", 14..=30).await;
    bench.advance(30);
    let gap = bench.pull("short:a", 100).await;
    assert_eq!((offsets(&gap), gap.gap, gap.position.offset), (vec![], trimmed(1, 5), 5), "all of it is gone");
    assert_eq!(bench.ack("short:a", &gap, Act::All).await, 5);
    let next = bench.pull("short:a", 100).await;
    assert_eq!((offsets(&next), next.gap), ((21..=30).collect(), trimmed(6, 20)));
}

#[tokio::test]
async fn a_log_that_is_empty_now_is_told_with_a_lease_of_its_own() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=5).await;
    let first = bench.pull("jobs", 2).await;
    bench.ack("jobs", &first, Act::All).await;
    bench.admin(Admin::TruncateBefore(key("jobs"), 6)).await;
    for _ in 0..2 {
        let gap = bench.pull("jobs", 100).await;
        assert_eq!((offsets(&gap), gap.gap, gap.more), (vec![], trimmed(3, 5), false));
        assert!(gap.lease.is_some());
        bench.advance(30);
    }
    let gap = bench.pull("jobs", 100).await;
    assert_eq!(bench.ack("jobs", &gap, Act::All).await, 5);
    bench.advance(30);
    assert_eq!(bench.pull("jobs", 100).await.lease, None);
}

#[tokio::test]
async fn a_log_that_was_purged_ends_the_leases_and_is_told() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=5).await;
    let first = bench.pull("jobs", 2).await;
    let out = bench.pull("jobs", 2).await;
    bench.ack("jobs", &first, Act::All).await;
    bench.admin(Admin::Purge(key("jobs"))).await;
    let expected = |to| Some(Gap { from: 3, to, reason: GapReason::Epoch });
    let told = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&told), told.gap), (vec![], expected(0)), "nothing is in the new log yet");
    let late = bench.try_ack("jobs", out.lease.unwrap(), Act::All).await;
    assert!(matches!(late, Err(Error::LeaseEnded)));
    bench.publish("jobs", 1..=3).await;
    let new = bench.pull("jobs", 2).await;
    assert_eq!((offsets(&new), new.gap), (vec![1, 2], None), "it was told already");
    bench.advance(30);
    let again = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&again), again.gap), (vec![1, 2], expected(0)), "but not acknowledged");
    assert_eq!(bench.ack("jobs", &again, Act::All).await, 2);
    assert_eq!(offsets(&bench.pull("jobs", 100).await), [3]);
}

#[tokio::test]
async fn a_purged_log_that_has_events_again_gives_them_with_the_gap() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=5).await;
    let first = bench.pull("jobs", 5).await;
    bench.ack("jobs", &first, Act::All).await;
    bench.admin(Admin::Purge(key("jobs"))).await;
    // More than before, so that only the epoch tells.
    bench.publish("jobs", 1..=8).await;
    let leased = bench.pull("jobs", 3).await;
    let gap = Some(Gap { from: 6, to: 0, reason: GapReason::Epoch });
    assert_eq!((offsets(&leased), leased.gap, leased.more), (vec![1, 2, 3], gap, true));
    assert_eq!(bench.ack("jobs", &leased, Act::All).await, 3);
    assert_eq!(offsets(&bench.pull("jobs", 100).await), [4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_log_that_is_not_the_one_it_saw_is_a_fork() {
    let bench = Bench::new();
    let positions = bench.publish("jobs", 1..=5).await;
    // As if the log had lost its tail and filled it with other events: the same epoch and offset, another tag.
    let other = Position { tag: Tag::from_u16(positions[2].tag.as_u16() ^ 1), ..positions[2] };
    let error = bench.consumers.seek(&key("jobs"), &name("c"), StartFrom::After(other)).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchPlace));
    let progress = fanfare_consumer::Progress::new(other, bench.clock.now());
    let key_of = |topic: &str| Key { tenant: key(topic).tenant, consumer: name("c"), topic: key(topic).topic };
    let swap = Swap { key: key_of("jobs"), expected: None, progress: Some(progress), commit: true };
    let cursors = Arc::new(MemoryCursors::new(1));
    cursors.swap(swap).await.unwrap();
    let seen = Handle::new(cursors, bench.bus.clone(), Arc::clone(&bench.clock) as _, Options::default());
    let leased = seen.pull(pull("jobs", 2)).await.unwrap();
    let gap = Some(Gap { from: 4, to: 0, reason: GapReason::Fork });
    assert_eq!((offsets(&leased), leased.gap), (vec![1, 2], gap), "it begins anew");
    let beyond = Position { offset: 99, tag: Tag::NONE, ..positions[0] };
    let sought = bench.consumers.seek(&key("jobs"), &name("c"), StartFrom::After(beyond)).await;
    assert!(matches!(sought, Err(Error::NoSuchPlace)));
}

#[tokio::test]
async fn a_consumer_goes_where_it_is_sent() {
    let bench = Bench::new();
    let positions = bench.publish("jobs", 1..=9).await;
    let out = bench.pull("jobs", 3).await;
    let seek = async |to| bench.consumers.seek(&key("jobs"), &name("c"), to).await.unwrap().offset;
    assert_eq!(seek(StartFrom::After(positions[5])).await, 6);
    assert!(matches!(bench.try_ack("jobs", out.lease.unwrap(), Act::All).await, Err(Error::LeaseEnded)));
    let leased = bench.pull("jobs", 1).await;
    assert_eq!((offsets(&leased), leased.deliveries.clone()), (vec![7], vec![1]));
    assert!(leased.lease > out.lease);
    assert_eq!(seek(StartFrom::Start).await, 0);
    assert_eq!(offsets(&bench.pull("jobs", 2).await), [1, 2]);
    assert_eq!(seek(StartFrom::Last(2)).await, 7);
    assert_eq!(offsets(&bench.pull("jobs", 9).await), [8, 9]);
    assert_eq!(seek(StartFrom::Now).await, 9);
    assert_eq!(bench.pull("jobs", 9).await.lease, None);
    // To what has been trimmed meanwhile: told by the next pull.
    let early = bench.publish("short:a", 1..=5).await;
    bench.publish("short:a", 6..=20).await;
    bench.consumers.seek(&key("short:a"), &name("c"), StartFrom::After(early[1])).await.unwrap();
    assert_eq!(bench.pull("short:a", 1).await.gap, trimmed(3, 10));
}
