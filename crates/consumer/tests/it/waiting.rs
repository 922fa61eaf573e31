//! Pulls that wait.

use std::pin::pin;
use std::time::Duration;

use fanfare_consumer::{Act, Error, Leased, Options, Pull};
use futures_util::future::{FutureExt as _, join_all, select};

use crate::support::{Bench, key, name, offsets, pull, release};

/// A pull that waits so long.
fn waiting(topic: &str, seconds: u64) -> Pull {
    Pull { wait: Duration::from_secs(seconds), ..pull(topic, 100) }
}

/// Lets a future go on until it waits for something that only the test can do.
async fn settle<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) {
    for _ in 0..50 {
        assert!(future.as_mut().now_or_never().is_none(), "it is to wait");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_waits_for_the_next_event() {
    let bench = Bench::new();
    let mut pulling = pin!(bench.try_pull(waiting("jobs", 30)));
    settle(pulling.as_mut()).await;
    let began = tokio::time::Instant::now();
    bench.publish("jobs", 1..=2).await;
    let leased = pulling.await.unwrap();
    assert_eq!(offsets(&leased), [1, 2]);
    assert_eq!(began.elapsed(), Duration::ZERO, "woken, not looked for");
}

#[tokio::test(start_paused = true)]
async fn a_pull_ends_without_events_when_its_time_is_over() {
    let bench = Bench::with(Options { wait_max: fanfare_model::Duration::from_secs(20), ..Options::default() });
    let began = tokio::time::Instant::now();
    let nothing = bench.try_pull(waiting("jobs", 5)).await.unwrap();
    assert_eq!((nothing.lease, nothing.gap, nothing.more), (None, None, false));
    assert_eq!(began.elapsed().as_secs(), 5);
    bench.try_pull(waiting("jobs", 3600)).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 25, "no longer than pulls may wait");
}

#[tokio::test(start_paused = true)]
async fn a_pull_hears_of_what_is_given_back() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=2).await;
    let first = bench.pull("jobs", 100).await;
    let mut pulling = pin!(bench.try_pull(waiting("jobs", 30)));
    settle(pulling.as_mut()).await;
    let began = tokio::time::Instant::now();
    bench.ack("jobs", &first, release(0)).await;
    assert_eq!(offsets(&pulling.await.unwrap()), [1, 2]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_pull_gets_what_comes_due_while_it_waits() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=2).await;
    bench.pull("jobs", 100).await;
    let mut pulling = pin!(bench.try_pull(waiting("jobs", 31)));
    settle(pulling.as_mut()).await;
    // The clocks of the consumer and of the runtime go apart here: it looks when its own time has come.
    bench.advance(30);
    let leased = pulling.await.unwrap();
    assert_eq!((offsets(&leased), leased.deliveries.clone()), (vec![1, 2], vec![2, 2]));
}

#[tokio::test(start_paused = true)]
async fn of_pulls_that_wait_each_event_goes_to_one() {
    let bench = Bench::new();
    let mut pulls = pin!(join_all((0..5).map(|_| bench.try_pull(Pull { limit: 1, ..waiting("jobs", 30) }))));
    settle(pulls.as_mut()).await;
    bench.publish("jobs", 1..=3).await;
    let leased: Vec<Leased> = pulls.await.into_iter().map(Result::unwrap).collect();
    let mut got: Vec<u64> = leased.iter().flat_map(offsets).collect();
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3]);
    assert_eq!(leased.iter().filter(|leased| leased.lease.is_none()).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn so_many_may_wait_and_a_dropped_pull_takes_nothing() {
    let bench = Bench::with(Options { pullers_max: 2, ..Options::default() });
    {
        let mut pulls = pin!(join_all((0..2).map(|_| bench.try_pull(waiting("jobs", 30)))));
        settle(pulls.as_mut()).await;
        assert!(matches!(bench.try_pull(waiting("jobs", 1)).await, Err(Error::TooManyPullers { most: 2 })));
        let other = Pull { consumer: name("other"), ..waiting("jobs", 1) };
        bench.try_pull(other).await.unwrap();
    }
    bench.publish("jobs", 1..=2).await;
    let leased = bench.pull("jobs", 100).await;
    assert_eq!((offsets(&leased), leased.deliveries.clone()), (vec![1, 2], vec![1, 1]));
    bench.ack("jobs", &leased, Act::All).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_is_answered_when_the_node_drains() {
    let bench = Bench::new();
    let mut pulling = pin!(bench.try_pull(waiting("jobs", 30)));
    settle(pulling.as_mut()).await;
    let began = tokio::time::Instant::now();
    bench.life.drain();
    assert_eq!(pulling.await.unwrap().lease, None);
    assert_eq!(bench.try_pull(waiting("jobs", 30)).await.unwrap().lease, None, "nor does a later one wait");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_heard_by_who_waits() {
    let bench = Bench::new();
    bench.publish("jobs", 1..=2).await;
    let leased = bench.pull("jobs", 100).await;
    bench.ack("jobs", &leased, Act::All).await;
    let pulling = pin!(bench.try_pull(waiting("jobs", 30)));
    let purging = pin!(async {
        tokio::task::yield_now().await;
        bench.admin(fanfare_bus::Admin::Purge(key("jobs"))).await;
        std::future::pending::<()>().await;
    });
    let futures_util::future::Either::Left((told, _)) = select(pulling, purging).await else { unreachable!() };
    assert_eq!(told.unwrap().gap.map(|gap| gap.from), Some(3));
}
