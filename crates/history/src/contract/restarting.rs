//! What outlives the log.

use std::sync::Arc;

use super::{Bench, cases, keep_all, numbered, offsets, topic, with_id};
use crate::{Durability, Error, Keep};

cases! {
    a_closed_log_accepts_nothing,
    a_restart_keeps_everything_or_the_epoch_changes,
    a_kill_loses_nothing_that_was_confirmed,
}

async fn a_closed_log_accepts_nothing(bench: Bench) {
    let (a, keep) = (topic("a"), keep_all());
    bench.append(&a, &keep, numbered(0)).await;
    bench.log.close().await.expect("the log closes");
    assert!(matches!(bench.try_append(&a, &keep, numbered(1)).await, Err(Error::Closed)));
    assert_eq!(offsets(&bench.setting.heard.events(&a)), [1]);
    bench.log.close().await.expect("closing again does no harm");
}

// 34
async fn a_restart_keeps_everything_or_the_epoch_changes(bench: Bench) {
    let (a, b) = (topic("a"), topic("b"));
    let keep = Arc::new(Keep { events_max: Some(50), ..Keep::default() });
    bench.fill(&a, &keep, 60).await;
    let first = bench.append(&a, &keep, with_id("x", "")).await;
    let (heads, events) = ((bench.head(&a).await, bench.head(&b).await), bench.all(&a).await);
    let survives = bench.log.capabilities().survives_restart;
    let bench = bench.restart(true).await;
    if survives {
        assert_eq!((bench.head(&a).await, bench.head(&b).await), heads);
        assert_eq!(bench.all(&a).await, events);
        let again = bench.append(&a, &keep, with_id("x", "")).await;
        assert_eq!((again.duplicate, again.position), (true, first.position), "the window survives");
        assert_eq!(bench.append(&a, &keep, numbered(0)).await.position.offset, 62);
    } else {
        assert_ne!(bench.head(&a).await.last.epoch, heads.0.last.epoch);
        assert!(bench.all(&a).await.is_empty());
    }
}

// 34
async fn a_kill_loses_nothing_that_was_confirmed(mut bench: Bench) {
    if !bench.log.capabilities().survives_restart {
        return;
    }
    let topics = [Durability::Committed, Durability::Buffered, Durability::None].map(|durability| {
        (topic(&format!("{durability:?}")), Arc::new(Keep { durability, events_max: None, ..Keep::default() }))
    });
    for round in 0..3_u64 {
        for (topic, keep) in &topics {
            bench.fill(topic, keep, 10).await;
            let promised = keep.durability;
            if promised != Durability::None {
                assert_eq!(bench.head(topic).await.last.offset, (round + 1) * 10, "dense as {promised:?}");
            }
        }
        let mut before = Vec::new();
        for (topic, _) in &topics {
            before.push((bench.head(topic).await, bench.all(topic).await));
        }
        bench = bench.restart(false).await;
        for ((topic, keep), (head, events)) in topics.iter().zip(&before) {
            if keep.durability != Durability::None {
                assert_eq!((bench.head(topic).await, &bench.all(topic).await), (*head, events));
            }
            let found = bench.head(topic).await;
            assert_eq!(found.last.epoch, head.last.epoch);
        }
    }
    for (topic, keep) in &topics {
        let events = bench.all(topic).await;
        assert!(events.windows(2).all(|pair| pair[1].prev == pair[0].offset), "prev is right across restarts");
        let last = bench.append(topic, keep, numbered(0)).await.position.offset;
        assert!(events.iter().all(|event| event.offset < last));
    }
}
