//! Who holds what.

use tokio::time::Instant;

use super::{BRIEF, Bench, PATIENCE, cases, list, release, take, take_briefly};

cases![
    what_is_held_is_listed_by_prefix,
    what_was_released_is_not_listed,
    what_has_ended_is_not_listed,
    many_are_listed,
];

async fn what_is_held_is_listed_by_prefix(bench: Bench) {
    for name in ["own/b", "own/a", "own_c", "own", "owner", "node/a"] {
        take(&bench.one, name, "a").await;
    }
    let names = |leases: Vec<crate::Lease>| leases.into_iter().map(|lease| lease.name).collect::<Vec<_>>();
    assert_eq!(names(list(&bench.other, "own/").await), ["own/a", "own/b"]);
    // `_` stands for itself.
    assert_eq!(names(list(&bench.other, "own_").await), ["own_c"]);
    assert_eq!(names(list(&bench.other, "own/a").await), ["own/a"]);
    let all = names(list(&bench.one, "").await);
    assert_eq!(all, ["node/a", "own", "own/a", "own/b", "own_c", "owner"]);
    assert!(list(&bench.one, "nothing/").await.is_empty());
}

async fn what_was_released_is_not_listed(bench: Bench) {
    let fence = take(&bench.one, "own/a", "a").await;
    release(&bench.one, "own/a", fence).await;
    assert!(list(&bench.other, "own/").await.is_empty());
    let again = take(&bench.other, "own/a", "b").await;
    let listed = list(&bench.one, "own/").await;
    assert_eq!((listed.len(), &*listed[0].holder, listed[0].fence), (1, "b", again));
}

async fn what_has_ended_is_not_listed(bench: Bench) {
    let begun = Instant::now();
    take_briefly(&bench.one, "own/a", "a").await;
    while !list(&bench.other, "own/").await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it is still listed");
        tokio::time::sleep(BRIEF / 50).await;
    }
    assert!(begun.elapsed() >= BRIEF / 2, "it was listed for {:?} only", begun.elapsed());
}

async fn many_are_listed(bench: Bench) {
    let names: Vec<String> = (0..300).map(|n| format!("own/{n:03}")).collect();
    let mut held = Vec::new();
    for name in &names {
        held.push(take(&bench.one, name, "a").await);
    }
    let listed = list(&bench.other, "own/").await;
    assert!(listed.iter().map(|lease| &lease.name).eq(&names), "{} of 300", listed.len());
    assert!(listed.iter().map(|lease| lease.fence).eq(held));
}
