//! Reading by offset, time and end, in both directions.

use std::time::Duration;

use fanfare_model::{Tenant, Topic, TopicKey};

use super::{Bench, backward, cases, forward, keep_all, numbered, offsets, topic};
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
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 100).await;
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
            assert_eq!(seen, (1..=100).collect::<Vec<_>>());
        }
    }
}

// 13
async fn the_last_events_backward(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 10).await;
    let page = bench.read(Read { limit: 3, ..backward(&a, ReadFrom::End) }).await;
    assert_eq!((offsets(&page.events), page.more), (vec![10, 9, 8], true));
    let page = bench.read(backward(&a, ReadFrom::Offset(4))).await;
    assert_eq!((offsets(&page.events), page.more), (vec![4, 3, 2, 1], false));
    let page = bench.read(backward(&a, ReadFrom::Offset(u64::MAX))).await;
    assert_eq!(page.events.len(), 10);
    assert!(bench.read(backward(&a, ReadFrom::Offset(0))).await.events.is_empty());
}

// 24
async fn from_every_offset_the_rest(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 100).await;
    let head = bench.head(&a).await;
    for offset in 0..=102_u64 {
        let page = bench.read(forward(&a, ReadFrom::Offset(offset))).await;
        assert_eq!(offsets(&page.events), (offset.max(1)..=100).collect::<Vec<_>>());
        assert_eq!((page.head, page.more), (head, false));
    }
    assert!(bench.read(forward(&a, ReadFrom::Offset(u64::MAX))).await.events.is_empty());
}

// 14
async fn from_a_time(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let start = bench.now();
    // Two events at each of the seconds 0, 10, 20, …
    for _ in 0..10 {
        bench.fill(&a, &keep, 2).await;
        bench.advance(10);
    }
    for second in 0..=110_u64 {
        let time = start.plus(Duration::from_secs(second));
        let first = second.div_ceil(10) * 2 + 1;
        let page = bench.read(forward(&a, ReadFrom::Time(time))).await;
        assert_eq!(offsets(&page.events), (first..=20).collect::<Vec<_>>(), "from second {second}");
        let page = bench.read(backward(&a, ReadFrom::Time(time))).await;
        let before: Vec<_> = (1..first.min(21)).rev().collect();
        assert_eq!(offsets(&page.events), before, "before second {second}");
    }
    let page = bench.read(forward(&a, ReadFrom::Time(start.minus(Duration::from_secs(5))))).await;
    assert_eq!(page.events.len(), 20);
}

// 15
async fn a_limit_of_0_reads_the_head(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.fill(&a, &keep, 3).await;
    let page = bench.read(Read { limit: 0, ..forward(&a, ReadFrom::End) }).await;
    assert!(page.events.is_empty() && page.more);
    assert_eq!(page.head, bench.head(&a).await);
    assert_eq!((page.head.last.offset, page.head.first, page.head.events), (3, 1, 3));
}

// 16
async fn an_unknown_topic_has_a_stable_head(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    let head = bench.head(&a).await;
    assert_eq!((head.last.offset, head.first, head.events, head.bytes, head.time), (0, 1, 0, 0, None));
    let page = bench.read(forward(&a, ReadFrom::End)).await;
    assert!(page.events.is_empty() && !page.more);
    assert_eq!((page.head, bench.head(&a).await), (head, head));
    let first = bench.append(&a, &keep, numbered(0)).await;
    assert_eq!(first.position.epoch, head.last.epoch);
    let heads = bench.log.heads(vec![topic("b"), a.clone(), topic("b")]).await.expect("the heads are read");
    assert_eq!(heads.iter().map(|head| head.last.offset).collect::<Vec<_>>(), [0, 1, 0], "in the order asked for");
}

// 17
async fn what_was_acknowledged_is_read(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    for n in 1..=200 {
        let appended = bench.append(&a, &keep, numbered(n)).await;
        let page = bench.read(Read { limit: 1, ..backward(&a, ReadFrom::End) }).await;
        assert_eq!((page.events[0].position(), page.head.last), (appended.position, appended.position));
    }
}

async fn topics_are_listed_in_pages(bench: Bench) {
    let keep = keep_all();
    let names = ["a", "a:1", "a:2", "a:3", "b", "b:1"];
    for name in names {
        bench.append(&topic(name), &keep, numbered(0)).await;
    }
    let other = Tenant::new("other").expect("a valid tenant");
    let elsewhere = TopicKey::new(other.clone(), Topic::new("a:9").expect("a valid topic"));
    bench.append(&elsewhere, &keep, numbered(0)).await;
    bench.head(&topic("a:never")).await;
    let list = async |tenant: &Tenant, prefix: &str, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = TopicsQuery { tenant: tenant.clone(), prefix: prefix.to_owned(), after, limit };
            let page = bench.log.topics(query).await.expect("the topics are listed");
            assert!(page.topics.len() <= limit);
            for (topic, head) in &page.topics {
                assert_eq!(head.last.offset, 1);
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
