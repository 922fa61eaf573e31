//! The feeds of shards: what happened, in order, for whoever owns the shard.

use std::sync::Arc;
use std::time::Duration;

use fanfare_cluster::Fence;

use super::{Bench, cases, shown, topic};
use crate::engine::Limits;
use crate::error::Error;

cases! {
    the_feed_has_each_change_at_its_position,
    the_feed_comes_in_parts,
    the_feed_waits_for_news,
    what_was_dealt_with_is_remembered,
    a_former_owner_is_refused,
    a_feed_that_nobody_reads_stops_who_enters,
    no_update_is_lost,
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn the_feed_has_each_change_at_its_position(bench: Bench) {
    assert!(bench.engine.shards() >= 1);
    assert!(bench.engine.outlives_node(), "engines that several nodes share do");
    let topics: Vec<_> = (0..20).map(|n| topic(&format!("t:{n}"))).collect();
    let mut expected = Vec::new();
    for topic in &topics {
        let shard = bench.engine.shard_of(topic);
        assert!(shard < bench.engine.shards());
        assert_eq!(shard, bench.other.shard_of(topic));
        expected.push((shard, bench.enter(topic, "s", "1").await));
        expected.push((shard, bench.update(topic, "s", "2").await.expect("it may update")));
        assert_eq!(bench.enter(topic, "s", "2").await.position, 0, "nothing has changed");
        expected.push((shard, bench.leave(topic, "s").await));
    }
    for shard in 0..bench.engine.shards() {
        let fed: Vec<_> = bench.feed(shard).await.iter().map(|(at, change)| (*at, change.rev)).collect();
        let done = expected.iter().filter(|(of, _)| *of == shard);
        assert_eq!(fed, done.map(|(_, done)| (done.position, done.rev)).collect::<Vec<_>>(), "shard {shard}");
        assert!(fed.iter().all(|(at, _)| *at > 0));
    }
}

async fn the_feed_comes_in_parts(bench: Bench) {
    let a = topic("a");
    let shard = bench.engine.shard_of(&a);
    for n in 0..10 {
        bench.enter(&a, &format!("s{n}"), "").await;
    }
    let all = bench.feed(shard).await;
    assert_eq!(all.len(), 10);
    for (n, (at, _)) in all.iter().enumerate() {
        let part = bench.engine.feed(shard, *at, 3, Duration::ZERO).await.expect("the feed is told");
        assert!(part.len() <= 3 && part.is_empty() == (n == 9));
        assert_eq!(part[..], all[n + 1..n + 1 + part.len()], "what follows, without a hole");
    }
}

async fn the_feed_waits_for_news(bench: Bench) {
    let a = topic("a");
    let shard = bench.engine.shard_of(&a);
    let nothing = bench.engine.feed(shard, 0, 10, Duration::from_millis(50)).await.expect("the feed is told");
    assert!(nothing.is_empty());
    let mut after = 0;
    for n in 0..5 {
        let entering = async {
            tokio::task::yield_now().await;
            bench.on("another").enter(&a, &format!("s{n}"), "").await
        };
        let waiting = async {
            loop {
                let news = bench.engine.feed(shard, after, 10, PATIENCE).await.expect("the feed is told");
                if !news.is_empty() {
                    return news;
                }
            }
        };
        let (entered, news) =
            tokio::time::timeout(PATIENCE, async { tokio::join!(entering, waiting) }).await.expect("who waits is told");
        assert_eq!((news.len(), news[0].0, news[0].1.rev), (1, entered.position, entered.rev));
        after = news[0].0;
    }
}

async fn what_was_dealt_with_is_remembered(bench: Bench) {
    let a = topic("a");
    let (shard, fence) = (bench.engine.shard_of(&a), Fence::new(7));
    let position = async || bench.other.fed_position(shard).await.expect("it is told");
    assert_eq!(position().await, 0);
    for n in 0..10 {
        bench.enter(&a, &format!("s{n}"), "").await;
    }
    let all = bench.feed(shard).await;
    let fed = async |upto: u64| bench.engine.fed(shard, fence, upto).await.expect("it is taken");
    assert!(fed(all[3].0).await);
    assert_eq!(position().await, all[3].0);
    assert!(fed(all[1].0).await, "it has no effect");
    assert_eq!(position().await, all[3].0);
    let left = bench.engine.feed(shard, all[3].0, 100, Duration::ZERO).await.expect("the feed is told");
    assert_eq!(left, all[4..]);
    assert!(fed(all[9].0).await);
    assert_eq!(position().await, all[9].0);
    assert!(bench.engine.feed(shard, all[9].0, 100, Duration::ZERO).await.expect("the feed is told").is_empty());
    let next = bench.enter(&a, "next", "").await;
    assert!(next.position > all[9].0, "positions never go back");
    let left = bench.other.feed(shard, all[9].0, 100, Duration::ZERO).await.expect("the feed is told");
    assert_eq!(left.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [next.position]);
    assert_eq!(bench.list(&a).await.len(), 11, "the members are not in the feed alone");
}

async fn a_former_owner_is_refused(bench: Bench) {
    let a = topic("a");
    let shard = bench.engine.shard_of(&a);
    for n in 0..3 {
        bench.enter(&a, &format!("s{n}"), "").await;
    }
    let all: Vec<u64> = bench.feed(shard).await.iter().map(|(at, _)| *at).collect();
    let fed =
        async |fence: u64, upto: u64| bench.engine.fed(shard, Fence::new(fence), upto).await.expect("it is answered");
    assert!(fed(5, all[0]).await);
    assert!(fed(6, all[0]).await, "another owner, who has not come further yet");
    assert!(!fed(5, all[2]).await);
    assert_eq!(bench.engine.fed_position(shard).await.expect("it is told"), all[0]);
    assert!(fed(6, all[1]).await);
    assert!(!fed(5, all[0]).await);
    assert_eq!(bench.engine.fed_position(shard).await.expect("it is told"), all[1]);
    // Every shard for itself.
    if let Some(other) = (0..bench.engine.shards()).find(|other| *other != shard) {
        assert!(bench.engine.fed(other, Fence::new(1), 0).await.expect("it is answered"));
    }
}

async fn a_feed_that_nobody_reads_stops_who_enters(mut bench: Bench) {
    bench.limits = Limits { waiting_max: 3, ..bench.limits };
    let a = topic("a");
    let shard = bench.engine.shard_of(&a);
    for n in 0..3 {
        bench.enter(&a, &format!("s{n}"), "").await;
    }
    assert!(matches!(bench.try_enter(&a, "s3", "").await, Err(Error::Full)));
    assert!(bench.leave(&a, "s0").await.changed, "leaving is not refused");
    let last = bench.feed(shard).await.pop().expect("there is something").0;
    assert!(bench.engine.fed(shard, Fence::new(1), last).await.expect("it is taken"));
    bench.enter(&a, "s3", "").await;
    assert_eq!(bench.list(&a).await, ["s1", "s2", "s3"]);
}

/// A change is applied to what is there, also when two nodes do so at once.
async fn no_update_is_lost(bench: Bench) {
    const TIMES: u64 = 20;
    let a = topic("a");
    bench.enter(&a, "s", "0").await;
    let count = async |engine: Arc<dyn crate::Presence>| {
        for _ in 0..TIMES {
            let more = |data: Option<&serde_json::value::RawValue>| {
                let known: u64 = data.expect("a number").get().parse().expect("a number");
                Ok(Some(super::raw(&(known + 1).to_string())))
            };
            engine.update(&a, &super::session("s"), &more).await.expect("it may update");
        }
    };
    let engines = [&bench.engine, &bench.other, &bench.engine, &bench.other];
    futures_util::future::join_all(engines.map(|engine| count(Arc::clone(engine)))).await;
    let members = bench.members(&a).await;
    assert_eq!(shown(&members.members[0]), format!("s={}", 4 * TIMES));
    assert_eq!(bench.changes(&a).await.len() as u64, 1 + 4 * TIMES);
}
