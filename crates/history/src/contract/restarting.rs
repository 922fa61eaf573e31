//! What outlives the log.

use super::kinds::{DURABILITIES, FIFTY};
use super::{Announced, Bench, cases, is_chained, numbered, of_kind, offsets, topic, with_id};
use crate::{Durability, Error};

cases! {
    a_closed_log_accepts_nothing,
    a_restart_keeps_everything_or_the_epoch_changes,
    a_kill_loses_nothing_that_was_confirmed,
}

async fn a_closed_log_accepts_nothing(bench: Bench) {
    let a = topic("a");
    let first = bench.append(&a, numbered(0)).await.position.offset;
    if bench.announced != Announced::Perhaps {
        assert_eq!(offsets(&bench.setting.heard.until_events(&a, 1).await), [first]);
    }
    bench.log.close().await.expect("the log closes");
    assert!(matches!(bench.try_append(&a, numbered(1)).await, Err(Error::Closed)));
    let heard = bench.setting.heard.events(&a);
    assert!(heard.iter().all(|event| event.offset == first), "what was refused is not announced");
    bench.log.close().await.expect("closing again does no harm");
}

// 34
async fn a_restart_keeps_everything_or_the_epoch_changes(bench: Bench) {
    let (a, b) = (of_kind(FIFTY), topic("b"));
    bench.fill(&a, 60).await;
    let first = bench.append(&a, with_id("x", "")).await;
    let (heads, events) = ((bench.head(&a).await, bench.head(&b).await), bench.all(&a).await);
    let bench = bench.restart(true).await;
    if bench.can.survives_restart {
        assert_eq!((bench.head(&a).await, bench.head(&b).await), heads);
        assert_eq!(bench.all(&a).await, events);
        let again = bench.append(&a, with_id("x", "")).await;
        assert_eq!((again.duplicate, again.position), (true, first.position), "the window survives");
        let next = bench.append(&a, numbered(0)).await.position.offset;
        assert!(if bench.can.dense { next == 62 } else { next > first.position.offset });
    } else {
        assert_ne!(bench.head(&a).await.last.epoch, heads.0.last.epoch);
        assert!(bench.all(&a).await.is_empty());
    }
}

// 34
async fn a_kill_loses_nothing_that_was_confirmed(mut bench: Bench) {
    if !bench.can.survives_restart {
        return;
    }
    let topics = DURABILITIES.map(|(kind, durability)| (of_kind(kind), durability.min(bench.can.durability_max)));
    for round in 0..3_u64 {
        for (topic, promised) in &topics {
            bench.fill(topic, 10).await;
            if *promised != Durability::None && bench.can.dense {
                assert_eq!(bench.head(topic).await.last.offset, (round + 1) * 10, "dense as {promised:?}");
            }
        }
        let mut before = Vec::new();
        for (topic, _) in &topics {
            before.push((bench.head(topic).await, bench.all(topic).await));
        }
        bench = bench.restart(false).await;
        for ((topic, promised), (head, events)) in topics.iter().zip(&before) {
            if *promised != Durability::None {
                assert_eq!((bench.head(topic).await, &bench.all(topic).await), (*head, events));
            }
            let found = bench.head(topic).await;
            assert_eq!(found.last.epoch, head.last.epoch);
        }
    }
    for (topic, _) in &topics {
        let events = bench.all(topic).await;
        assert!(is_chained(&events), "prev is right across restarts");
        let last = bench.append(topic, numbered(0)).await.position.offset;
        assert!(events.iter().all(|event| event.offset < last));
    }
}
