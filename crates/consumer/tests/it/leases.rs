//! Leases: who gets what, for how long, and again.

use std::time::Duration;

use fanfare_consumer::{Act, Error, LeaseId, Options, Pull};
use fanfare_model::{ByteSize, Kind, StartFrom};

use crate::support::{Bench, key, name, offsets, pull, release};

#[tokio::test]
async fn what_is_acknowledged_does_not_come_again() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=10).await;
    let first = bench.pull("jobs", 4).await;
    assert_eq!((offsets(&first), first.more, first.gap), (vec![1, 2, 3, 4], true, None));
    assert_eq!(first.deliveries, [1; 4]);
    assert_eq!(first.position, first.events[3].position());
    assert_eq!(bench.ack("jobs", &first, Act::All).await, 4);
    let second = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&second), second.more), (vec![5, 6, 7, 8, 9, 10], false));
    assert_eq!(bench.ack("jobs", &second, Act::UpTo(7)).await, 7);
    let nothing = bench.pull("jobs", 100).await;
    assert_eq!((nothing.lease, nothing.events.len(), nothing.position.offset), (None, 0, 10));
    assert_eq!(bench.ack("jobs", &second, Act::UpTo(10)).await, 10);
    bench.advance(3600);
    assert_eq!(bench.pull("jobs", 100).await.lease, None);
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_comes_again_first() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=4).await;
    let first = bench.pull("jobs", 100).await;
    assert_eq!(bench.ack("jobs", &first, Act::UpTo(2)).await, 2);
    bench.publish("jobs", 5..=6).await;
    bench.advance(29);
    let new = bench.pull("jobs", 100).await;
    assert_eq!(offsets(&new), [5, 6], "the rest is still out");
    bench.advance(1);
    let again = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&again), again.deliveries.clone(), again.more), (vec![3, 4], vec![2, 2], false));
    assert_eq!(bench.ack("jobs", &new, Act::All).await, 2, "what was out before is not done");
    assert_eq!(bench.ack("jobs", &again, Act::All).await, 6);
}

#[tokio::test]
async fn a_lease_that_ended_is_worth_nothing() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=2).await;
    let late = bench.pull("jobs", 100).await;
    bench.advance(30);
    for act in [Act::All, Act::UpTo(1), release(0), Act::Extend(Duration::from_secs(9))] {
        let error = bench.try_ack("jobs", late.lease.unwrap(), act).await.unwrap_err();
        assert!(matches!(error, Error::LeaseEnded) && error.kind() == Kind::Conflict);
    }
    let again = bench.pull("jobs", 100).await;
    assert!(again.lease > late.lease, "the later lease has the greater number");
    assert!(matches!(bench.try_ack("jobs", late.lease.unwrap(), Act::All).await, Err(Error::LeaseEnded)));
    assert_eq!(bench.ack("jobs", &again, Act::All).await, 2);
    assert!(matches!(bench.try_ack("jobs", again.lease.unwrap(), Act::All).await, Err(Error::LeaseEnded)));
    assert!(matches!(bench.try_ack("jobs", LeaseId(1), Act::All).await, Err(Error::LeaseEnded)));
    assert!(matches!(bench.try_ack("news", LeaseId(1), Act::All).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_lease_can_be_extended() {
    let bench = Bench::with(Options { lease_max: fanfare_model::Duration::from_secs(60), ..Options::default() });
    bench.publish("jobs", 1..=2).await;
    let leased = bench.pull("jobs", 100).await;
    bench.advance(29);
    bench.ack("jobs", &leased, Act::Extend(Duration::from_secs(3600))).await;
    bench.advance(59);
    assert_eq!(bench.pull("jobs", 100).await.lease, None, "from now, not from when it began");
    bench.advance(1);
    assert_eq!(offsets(&bench.pull("jobs", 100).await), [1, 2], "no longer than leases may last");
}

#[tokio::test]
async fn what_is_given_back_comes_again_at_once_or_later() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=6).await;
    let (first, second) = (bench.pull("jobs", 3).await, bench.pull("jobs", 3).await);
    bench.ack("jobs", &first, Act::UpTo(1)).await;
    assert_eq!(bench.ack("jobs", &first, release(0)).await, 1);
    let again = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&again), again.deliveries.clone()), (vec![2, 3], vec![2, 2]));
    bench.ack("jobs", &second, release(10)).await;
    assert_eq!(bench.pull("jobs", 100).await.lease, None);
    bench.advance(10);
    assert_eq!(offsets(&bench.pull("jobs", 100).await), [4, 5, 6]);
}

#[tokio::test]
async fn several_pullers_share_the_events_and_consumers_do_not() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=30).await;
    let pulls = (0..10).map(|_| bench.pull("jobs", 3));
    let mut all: Vec<u64> = futures_util::future::join_all(pulls).await.iter().flat_map(offsets).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=30).collect::<Vec<_>>(), "each event once");
    let other = Pull { consumer: name("other"), ..pull("jobs", 100) };
    assert_eq!(bench.try_pull(other).await.unwrap().events.len(), 30);
}

#[tokio::test]
async fn done_is_the_least_of_what_is_not_done() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=9).await;
    let (a, b, c) = (bench.pull("jobs", 3).await, bench.pull("jobs", 3).await, bench.pull("jobs", 3).await);
    assert_eq!(bench.ack("jobs", &c, Act::All).await, 0);
    assert_eq!(bench.ack("jobs", &b, Act::UpTo(5)).await, 0);
    assert_eq!(bench.ack("jobs", &a, Act::All).await, 5);
    assert_eq!(bench.ack("jobs", &b, Act::UpTo(4)).await, 5, "an older acknowledgement takes nothing back");
    assert_eq!(bench.ack("jobs", &b, Act::UpTo(9999)).await, 9, "no further than the lease");
}

#[tokio::test]
async fn limits_hold() {
    let options = Options { events_max: 5, leases_max: 3, bytes_max: ByteSize(20), ..Options::default() };
    let bench = Bench::with(options);
    bench.publish("jobs", 100..=130).await;
    assert_eq!(bench.pull("jobs", 100).await.events.len(), 1, "an event has 39 bytes");
    assert_eq!(bench.pull("jobs", 0).await.events.len(), 1);
    let third = bench.pull("jobs", 1).await;
    let error = bench.try_pull(pull("jobs", 1)).await.unwrap_err();
    assert!(matches!(error, Error::TooManyLeases { most: 3 }) && error.kind() == Kind::Limited);
    bench.ack("jobs", &third, release(60)).await;
    assert!(matches!(bench.try_pull(pull("jobs", 1)).await, Err(Error::TooManyLeases { .. })), "what waits counts too");
    bench.advance(30);
    assert_eq!(offsets(&bench.pull("jobs", 1).await), [1], "what came back is given out although there is no room");
    let bench = Bench::with(Options { events_max: 5, ..Options::default() });
    bench.publish("jobs", 1..=9).await;
    let leased = bench.pull("jobs", 100).await;
    assert_eq!((leased.events.len(), leased.more), (5, true));
}

#[tokio::test]
async fn a_tenant_may_have_so_many_consumers() {
    let bench = Bench::with(Options { consumers_max: 2, ..Options::default() });
    let named = |consumer: &str| Pull { consumer: name(consumer), ..pull("jobs", 1) };
    bench.try_pull(named("a")).await.unwrap();
    bench.try_pull(named("b")).await.unwrap();
    let error = bench.try_pull(named("c")).await.unwrap_err();
    assert!(matches!(error, Error::TooManyConsumers { most: 2 }) && error.kind() == Kind::Limited);
    assert!(matches!(
        bench.consumers.seek(&key("jobs"), &name("c"), StartFrom::Now).await,
        Err(Error::TooManyConsumers { .. })
    ));
    bench.consumers.forget(&key("jobs"), &name("a")).await.unwrap();
    bench.try_pull(named("c")).await.unwrap();
}

#[tokio::test]
async fn a_topic_without_history_has_no_consumers() {
    let bench = Bench::new();
    let error = bench.try_pull(pull("none:1", 1)).await.unwrap_err();
    assert!(matches!(&error, Error::NoHistory { kind } if kind == "none") && error.kind() == Kind::Invalid);
    let sought = bench.consumers.seek(&key("none:1"), &name("c"), StartFrom::Now).await;
    assert!(matches!(sought, Err(Error::NoHistory { .. })));
}

#[tokio::test]
async fn stretches_that_come_back_side_by_side_are_one_again() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=9).await;
    for _ in 0..3 {
        bench.pull("jobs", 3).await;
    }
    bench.advance(30);
    let again = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&again).len(), again.deliveries[0]), (9, 2));
}
