//! Who holds a lease, and under which fence.

use futures_util::future::join_all;

use super::{Bench, LONG, acquire, cases, list, release, renew, take};

cases![
    a_lease_is_given_to_one,
    a_holder_does_not_get_its_own_lease_again,
    fences_grow_after_a_release,
    a_release_with_an_old_fence_does_nothing,
    a_release_is_for_this_holding_only,
    of_many_at_once_one_is_given_it,
    names_are_apart,
    holders_may_say_what_they_like,
    what_is_not_a_name_is_refused,
];

async fn a_lease_is_given_to_one(bench: Bench) {
    take(&bench.one, "job", "a").await;
    assert_eq!(acquire(&bench.other, "job", "b").await, None, "it is held");
}

async fn a_holder_does_not_get_its_own_lease_again(bench: Bench) {
    take(&bench.one, "job", "a").await;
    assert_eq!(acquire(&bench.one, "job", "a").await, None, "a held lease is held, also from its holder");
}

async fn fences_grow_after_a_release(bench: Bench) {
    let mut before = take(&bench.one, "job", "a").await;
    for round in 0..20 {
        let (from, to) = if round % 2 == 0 { (&bench.one, &bench.other) } else { (&bench.other, &bench.one) };
        release(from, "job", before).await;
        let fence = take(to, "job", "b").await;
        assert!(fence > before, "{fence} after {before}");
        before = fence;
    }
}

async fn a_release_with_an_old_fence_does_nothing(bench: Bench) {
    let old = take(&bench.one, "job", "a").await;
    release(&bench.one, "job", old).await;
    let new = take(&bench.other, "job", "b").await;
    release(&bench.one, "job", old).await;
    assert!(!renew(&bench.one, "job", old).await, "the old holding has ended");
    assert!(renew(&bench.other, "job", new).await, "the new one has not");
    assert_eq!(acquire(&bench.one, "job", "a").await, None);
}

async fn a_release_is_for_this_holding_only(bench: Bench) {
    let held = take(&bench.one, "job/1", "a").await;
    let other = take(&bench.one, "job/2", "a").await;
    release(&bench.one, "job/1", other).await;
    assert!(!renew(&bench.one, "job/1", other).await, "a fence of another name is none of this");
    assert!(renew(&bench.one, "job/1", held).await);
    release(&bench.one, "nobody/holds/this", held).await;
    assert!(!renew(&bench.one, "nobody/holds/this", held).await);
}

async fn of_many_at_once_one_is_given_it(bench: Bench) {
    let mut before = None;
    for round in 0..10 {
        let name = if round % 2 == 0 { "same" } else { "job" };
        let tries = (0..32).map(|n| {
            let leases = if n % 2 == 0 { &bench.one } else { &bench.other };
            async move { acquire(leases, name, "anybody").await }
        });
        let given: Vec<_> = join_all(tries).await.into_iter().flatten().collect();
        assert_eq!(given.len(), 1, "round {round}: {given:?}");
        assert!(before < Some(given[0]) || round < 2, "round {round}: {given:?} after {before:?}");
        before = before.max(Some(given[0]));
        release(&bench.other, name, given[0]).await;
    }
}

async fn names_are_apart(bench: Bench) {
    for name in ["own/a/1", "own/a/11", "own/a_1", "own/a", "own", "OWN", "own/a/1/"] {
        take(&bench.one, name, name).await;
    }
}

async fn holders_may_say_what_they_like(bench: Bench) {
    let says = ["", "{\"id\":\"a b\",\"roles\":[\"sse\"]}", "zeile\nzwei\t\"'\\;--\r\n", "日本語 🎺", &"ü".repeat(512)];
    for (index, holder) in says.into_iter().enumerate() {
        let name = format!("holder/{index}");
        let fence = take(&bench.one, &name, holder).await;
        let listed = list(&bench.other, &name).await;
        assert_eq!(listed.len(), 1, "{name}");
        assert_eq!((&*listed[0].name, &*listed[0].holder, listed[0].fence), (&*name, holder, fence));
    }
}

async fn what_is_not_a_name_is_refused(bench: Bench) {
    for (name, holder) in [("", "a"), ("a b", "a"), ("a*", "a"), (&*"n".repeat(256), "a"), ("ok", &"h".repeat(1025))] {
        let refused = bench.one.acquire(name, holder, LONG).await;
        assert!(matches!(refused, Err(crate::Error::Invalid(_))), "{name:?}: {refused:?}");
    }
    take(&bench.one, &"n".repeat(255), "a").await;
}
