//! Entering, updating, leaving, and their bounds.

use serde_json::value::RawValue;

use super::{Bench, cases, raw, session, topic};
use crate::engine::Limits;
use crate::error::Error;

cases! {
    changes_count_revisions_and_are_fed_first,
    entering_again_replaces_what_is_said,
    who_is_no_member_cannot_update_and_leaves_without_effect,
    a_refused_update_changes_nothing,
    pages_have_everybody_once,
    a_session_is_in_so_many_topics,
    there_is_room_for_so_many_members,
    revisions_go_on_after_everybody_has_left,
}

// 36
async fn changes_count_revisions_and_are_fed_first(bench: Bench) {
    let a = topic("a");
    let first = bench.enter(&a, "s1", "1").await;
    assert_eq!(bench.told(&a).await, ["+s1=1"], "in the feed when it is answered");
    let second = bench.enter(&a, "s2", "").await;
    let third = bench.update(&a, "s1", "2").await.expect("it may update");
    let fourth = bench.leave(&a, "s2").await;
    assert_eq!(bench.told(&a).await, ["+s1=1", "+s2", "~s1=2", "-s2"]);
    let revs: Vec<u64> = bench.changes(&a).await.iter().map(|change| change.rev).collect();
    assert_eq!(revs, [first.rev, second.rev, third.rev, fourth.rev]);
    let counts: Vec<u64> = bench.changes(&a).await.iter().map(|change| change.count).collect();
    assert_eq!(counts, [1, 2, 2, 1]);
    let members = bench.members(&a).await;
    assert_eq!((members.rev, members.count, members.next), (fourth.rev, 1, None));
    assert_eq!(bench.list(&a).await, ["s1=2"]);
}

async fn entering_again_replaces_what_is_said(bench: Bench) {
    let a = topic("a");
    let first = bench.enter(&a, "s", r#"{"x":1}"#).await;
    let same = bench.enter(&a, "s", r#"{"x":1}"#).await;
    assert_eq!((same.rev, same.changed), (first.rev, false), "nothing is otherwise");
    assert!(bench.enter(&a, "s", "2").await.changed);
    assert!(bench.enter(&a, "s", "").await.changed);
    assert_eq!(bench.told(&a).await, [r#"+s={"x":1}"#, "~s=2", "~s"]);
}

async fn who_is_no_member_cannot_update_and_leaves_without_effect(bench: Bench) {
    let a = topic("a");
    assert!(matches!(bench.update(&a, "s", "1").await, Err(Error::NotMember)));
    bench.enter(&a, "t", "").await;
    assert!(matches!(bench.update(&a, "s", "1").await, Err(Error::NotMember)));
    assert!(!bench.leave(&a, "s").await.changed);
    assert!(!bench.leave(&topic("b"), "s").await.changed);
    assert_eq!(bench.told(&a).await, ["+t"]);
}

async fn a_refused_update_changes_nothing(bench: Bench) {
    let a = topic("a");
    let entered = bench.enter(&a, "s", "1").await;
    let refuse = |data: Option<&RawValue>| {
        assert_eq!(data.map(RawValue::get), Some("1"));
        Err(Error::Full)
    };
    assert!(matches!(bench.engine.update(&a, &session("s"), &refuse).await, Err(Error::Full)));
    let same = bench.engine.update(&a, &session("s"), &|_| Ok(Some(raw("1")))).await.expect("it may update");
    assert_eq!((same.rev, same.changed), (entered.rev, false));
    assert_eq!(bench.told(&a).await, ["+s=1"]);
}

async fn pages_have_everybody_once(bench: Bench) {
    let a = topic("a");
    for n in 0..25 {
        bench.enter(&a, &format!("s{n:02}"), "").await;
    }
    for limit in [1, 7, 24, 25, 26] {
        let (mut after, mut ids, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = bench.engine.members(&a, after.as_deref(), limit, usize::MAX).await.expect("a page");
            assert!(page.members.len() <= limit && page.count == 25);
            ids.extend(page.members.iter().map(|member| member.id.clone()));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids, (0..25).map(|n| format!("s{n:02}")).collect::<Vec<_>>());
        assert_eq!(pages, 25_usize.div_ceil(limit));
    }
    let small = bench.engine.members(&a, None, 10, 1).await.expect("a page");
    assert_eq!((small.members.len(), small.next.as_deref()), (1, Some("s00")), "one is always in it");
    let none = bench.engine.members(&a, None, 0, usize::MAX).await.expect("a page");
    assert_eq!((none.count, none.members.len(), none.next), (25, 0, None));
    let behind = bench.engine.members(&a, Some("s24"), 10, usize::MAX).await.expect("a page");
    assert!(behind.members.is_empty() && behind.next.is_none());
}

async fn a_session_is_in_so_many_topics(mut bench: Bench) {
    bench.limits = Limits { topics_per_session_max: 2, ..bench.limits };
    bench.enter(&topic("a"), "s", "").await;
    bench.enter(&topic("b"), "s", "").await;
    let refused = bench.try_enter(&topic("c"), "s", "").await;
    assert!(matches!(refused, Err(Error::TooManyTopics { topics_max: 2 })));
    assert!(bench.list(&topic("c")).await.is_empty());
    bench.enter(&topic("b"), "s", "1").await;
    bench.enter(&topic("c"), "t", "").await;
    bench.leave(&topic("a"), "s").await;
    bench.enter(&topic("c"), "s", "").await;
}

async fn there_is_room_for_so_many_members(mut bench: Bench) {
    bench.limits = Limits { members_max: 3, ..bench.limits };
    let (a, b) = (topic("a"), bench.beside(&topic("a")));
    for (topic, who) in [(&a, "s"), (&a, "t"), (&b, "s")] {
        bench.enter(topic, who, "").await;
    }
    assert!(matches!(bench.try_enter(&b, "t", "").await, Err(Error::Full)));
    bench.enter(&a, "s", "1").await;
    bench.leave(&a, "s").await;
    bench.enter(&b, "t", "").await;
}

async fn revisions_go_on_after_everybody_has_left(bench: Bench) {
    let (a, b) = (topic("a"), topic("b"));
    for n in 0..20 {
        bench.enter(&a, &format!("s{n}"), "").await;
    }
    for n in 0..20 {
        bench.leave(&a, &format!("s{n}")).await;
    }
    let empty = bench.members(&a).await;
    let left = bench.changes(&a).await.last().map(|change| (change.rev, change.count));
    assert!(left.is_some_and(|(rev, count)| rev <= empty.rev && count == 0));
    bench.enter(&b, "t", "").await;
    bench.leave(&b, "t").await;
    let again = bench.enter(&a, "s0", "").await;
    assert!(again.rev > empty.rev, "{} after {}", again.rev, empty.rev);
    assert_eq!(bench.changes(&a).await.last().map(|change| change.prev), Some(0));
}
