//! Reading by offset, time and end, in both directions.

use std::time::Duration;

use fanfare_model::{Tenant, Topic, TopicKey};

use super::{Bench, backward, cases, forward, numbered, offsets, topic};
use crate::{Direction, Read, ReadFrom, TopicsQuery};

cases! {
    pages_cover_everything_once,
    the_last_events_backward,
    from_every_offset_the_rest,
    from_a_time,
    a_limit_of_0_reads_the_head,
    an_unknown_topic_has_a_stable_head,
    what_was_acknowledged_is_read,
    topics_are_listed_in_pages,
}

// 12
async fn pages_cover_everything_once(bench: Bench) {
    let a = topic("a");
    let places = bench.fill(&a, 100).await;
    let size = numbered(10).size();
    for (limit, bytes_max) in [(1, usize::MAX), (7, usize::MAX), (100, usize::MAX), (usize::MAX, 1), (50, 10 * size)] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut seen = Vec::new();
            let mut from = ReadFrom::End;
            loop {
                let read = Read { direction, limit, bytes_max, ..forward(&a, from) };
                let page = bench.read(read).await;
                assert!(page.events.len() <= limit);
                assert!(!page.events.is_empty(), "at least one, whatever its size");
                let sizes: Vec<_> = page.events.iter().map(|event| event.draft.size()).collect();
                let but_last: usize = sizes[..sizes.len() - 1].iter().sum();
                assert!(but_last < bytes_max, "stops at the event that reaches the limit");
                seen.extend(offsets(&page.events));
                let last = seen[seen.len() - 1];
                assert_eq!(page.more, seen.len() < 100);
                if !page.more {
                    break;
                }
                from = ReadFrom::Offset(if direction == Direction::Forward { last + 1 } else { last - 1 });
            }
            if direction == Direction::Backward {
                seen.reverse();
            }
            assert_eq!(seen, places);
        }
    }
}

// 13
async fn the_last_events_backward(bench: Bench) {
    let a = topic("a");
    let mut places = bench.fill(&a, 10).await;
    let at_4 = places[3];
    places.reverse();
    let page = bench.read(Read { limit: 3, ..backward(&a, ReadFrom::End) }).await;
    assert_eq!((offsets(&page.events), page.more), (places[..3].to_vec(), true));
    let page = bench.read(backward(&a, ReadFrom::Offset(at_4))).await;
    assert_eq!((offsets(&page.events), page.more), (places[6..].to_vec(), false));
    let page = bench.read(backward(&a, ReadFrom::Offset(u64::MAX))).await;
    assert_eq!(page.events.len(), 10);
    assert!(bench.read(backward(&a, ReadFrom::Offset(0))).await.events.is_empty());
}

// 24
async fn from_every_offset_the_rest(bench: Bench) {
    let a = topic("a");
    let places = bench.fill(&a, 100).await;
    let head = bench.head(&a).await;
    let around = |place: u64| [place - 1, place, place + 1];
    for offset in [0].into_iter().chain(places.iter().copied().flat_map(around)) {
        let page = bench.read(forward(&a, ReadFrom::Offset(offset))).await;
        let rest: Vec<_> = places.iter().copied().filter(|place| *place >= offset).collect();
        assert_eq!(offsets(&page.events), rest, "from {offset}");
        assert_eq!((page.head, page.more), (head, false));
    }
    assert!(bench.read(forward(&a, ReadFrom::Offset(u64::MAX))).await.events.is_empty());
}

// 14
async fn from_a_time(bench: Bench) {
    let a = topic("a");
    // Two events at each of the seconds 0, 10, 20, …; or as it comes, if the engine has its own clock.
    for _ in 0..10 {
        bench.fill(&a, 2).await;
        bench.advance(10);
    }
    let events = bench.all(&a).await;
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
    let tick = Duration::from_micros(1);
    let times = events.iter().map(|event| event.time);
    let around = times.flat_map(|at| [at.minus(second), at.minus(tick), at, at.plus(tick), at.plus(second)]);
    for time in around.chain([events[0].time.minus(day), events[19].time.plus(day)]) {
        let first = events.partition_point(|event| event.time < time);
        let page = bench.read(forward(&a, ReadFrom::Time(time))).await;
        assert_eq!(page.events, events[first..], "from {time:?}");
        let mut page = bench.read(backward(&a, ReadFrom::Time(time))).await;
        page.events.reverse();
        assert_eq!(page.events, events[..first], "before {time:?}");
    }
}

// 15
async fn a_limit_of_0_reads_the_head(bench: Bench) {
    let a = topic("a");
    let places = bench.fill(&a, 3).await;
    let page = bench.read(Read { limit: 0, ..forward(&a, ReadFrom::End) }).await;
    assert!(page.events.is_empty() && page.more);
    assert_eq!(page.head, bench.head(&a).await);
    assert_eq!((page.head.last.offset, page.head.first, page.head.events), (places[2], places[0], 3));
}

// 16
async fn an_unknown_topic_has_a_stable_head(bench: Bench) {
    let a = topic("a");
    let head = bench.head(&a).await;
    assert_eq!((head.last.offset, head.first, head.events, head.bytes, head.time), (0, 1, 0, 0, None));
    let page = bench.read(forward(&a, ReadFrom::End)).await;
    assert!(page.events.is_empty() && !page.more);
    assert_eq!((page.head, bench.head(&a).await), (head, head));
    let first = bench.append(&a, numbered(0)).await.position;
    assert_eq!(first.epoch, head.last.epoch);
    let heads = bench.log.heads(vec![topic("b"), a.clone(), topic("b")]).await.expect("the heads are read");
    let found: Vec<_> = heads.iter().map(|head| head.last.offset).collect();
    assert_eq!(found, [0, first.offset, 0], "in the order asked for");
}

// 17
async fn what_was_acknowledged_is_read(bench: Bench) {
    let a = topic("a");
    for n in 1..=200 {
        let appended = bench.append(&a, numbered(n)).await;
        let page = bench.read(Read { limit: 1, ..backward(&a, ReadFrom::End) }).await;
        assert_eq!((page.events[0].position(), page.head.last), (appended.position, appended.position));
    }
}

async fn topics_are_listed_in_pages(bench: Bench) {
    let names = ["a", "a:1", "a:2", "a:3", "b", "b:1"];
    for name in names {
        bench.append(&topic(name), numbered(0)).await;
    }
    let other = Tenant::new("other").expect("a valid tenant");
    let elsewhere = TopicKey::new(other.clone(), Topic::new("a:9").expect("a valid topic"));
    bench.append(&elsewhere, numbered(0)).await;
    bench.head(&topic("a:never")).await;
    // One that nobody outside may see.
    let hidden = TopicKey::new(Tenant::default(), Topic::internal("revocations"));
    bench.append(&hidden, numbered(0)).await;
    assert_eq!(bench.all(&hidden).await.len(), 1);
    let list = async |tenant: &Tenant, prefix: &str, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = TopicsQuery { tenant: tenant.clone(), prefix: prefix.to_owned(), after, limit };
            let page = bench.log.topics(query).await.expect("the topics are listed");
            assert!(page.topics.len() <= limit);
            for (topic, head) in &page.topics {
                assert_eq!((head.last.offset > 0, head.events), (true, 1));
                found.push(topic.to_string());
            }
            after = page.topics.last().map(|(topic, _)| topic.clone());
            if !page.more {
                return found;
            }
        }
    };
    for limit in [1, 2, 6, 100] {
        assert_eq!(list(&Tenant::default(), "", limit).await, names);
        assert_eq!(list(&Tenant::default(), "a:", limit).await, ["a:1", "a:2", "a:3"]);
        assert_eq!(list(&Tenant::default(), "c", limit).await, [""; 0]);
        assert_eq!(list(&other, "", limit).await, ["a:9"]);
    }
}
