//! Compare-and-swap.

use futures_util::future::join_all;

use super::{Bench, at, cases, key};
use crate::{Act, Swapped};

cases! {
    a_record_is_what_was_put,
    a_swap_needs_what_it_expects,
    of_concurrent_swaps_one_is_done,
    concurrent_advances_end_at_the_greatest_and_never_go_back,
    a_version_is_never_used_again,
    a_tenant_has_so_many_and_no_more,
    keys_are_apart,
}

async fn a_record_is_what_was_put(bench: Bench) {
    let key = key("t", "billing", "orders:1");
    assert_eq!(bench.get(&key).await, None);
    let (mut progress, now) = (at(4), at(4).moved_at);
    let first = progress.lease_new(None, at(9).frontier, now, now.plus(std::time::Duration::from_secs(30)));
    progress.lease_new(None, at(20).frontier, now, now.plus(std::time::Duration::from_secs(60)));
    progress.settle(first, Act::Release { retry_after: std::time::Duration::from_secs(5) }, now).expect("it is out");
    let version = bench.put(&key, None, Some(progress.clone())).await;
    assert_eq!(bench.get(&key).await, Some((version, progress)));
    bench.put(&key, Some(version), None).await;
    assert_eq!(bench.get(&key).await, None);
}

async fn a_swap_needs_what_it_expects(bench: Bench) {
    let key = key("t", "a", "jobs");
    let first = bench.put(&key, None, Some(at(1))).await;
    assert_eq!(bench.swap(&key, None, Some(at(2))).await, Swapped::Conflict, "there is one");
    let second = bench.put(&key, Some(first), Some(at(2))).await;
    assert_eq!(bench.swap(&key, Some(first), Some(at(3))).await, Swapped::Conflict, "there is a later one");
    assert_eq!(bench.swap(&key, Some(first), None).await, Swapped::Conflict, "also for removing");
    assert_eq!(bench.get(&key).await, Some((second, at(2))));
    bench.put(&key, Some(second), None).await;
    assert_eq!(bench.swap(&key, Some(second), Some(at(3))).await, Swapped::Conflict, "there is none");
}

async fn of_concurrent_swaps_one_is_done(bench: Bench) {
    let key = key("t", "a", "jobs");
    let mut expected = None;
    for round in 0..20 {
        let swaps = (0..8).map(|n| bench.swap(&key, expected, Some(at(round * 10 + n))));
        let answers = join_all(swaps).await;
        let done: Vec<_> = (0..).zip(&answers).filter(|(_, answer)| matches!(answer, Swapped::Done(_))).collect();
        assert_eq!(done.len(), 1, "of {answers:?}");
        let (winner, _) = done[0];
        let (version, progress) = bench.get(&key).await.expect("it is there");
        assert_eq!((progress, Swapped::Done(version)), (at(round * 10 + winner), answers[done_at(winner)].clone()));
        expected = Some(version);
    }
}

fn done_at(winner: u64) -> usize {
    usize::try_from(winner).expect("a small number")
}

// 40
async fn concurrent_advances_end_at_the_greatest_and_never_go_back(bench: Bench) {
    let key = key("t", "a", "jobs");
    bench.put(&key, None, Some(at(0))).await;
    let advance = |to: u64| {
        let (bench, key) = (&bench, &key);
        async move {
            loop {
                let (version, found) = bench.get(key).await.expect("it is there");
                let to = to.max(found.frontier.offset);
                if matches!(bench.swap(key, Some(version), Some(at(to))).await, Swapped::Done(_)) {
                    return;
                }
            }
        }
    };
    let watch = async {
        let mut last = 0;
        while last < 40 {
            let (_, found) = bench.get(&key).await.expect("it is there");
            assert!(found.frontier.offset >= last, "it went back from {last}");
            last = found.frontier.offset;
            tokio::task::yield_now().await;
        }
    };
    let advances = join_all([7, 31, 2, 40, 19, 40, 1, 33].map(advance));
    futures_util::future::join(advances, watch).await;
    assert_eq!(bench.get(&key).await.map(|(_, progress)| progress), Some(at(40)));
}

async fn a_version_is_never_used_again(bench: Bench) {
    let (one, two) = (key("t", "a", "jobs"), key("t", "b", "jobs"));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        let version = bench.put(&one, None, Some(at(1))).await;
        assert!(seen.insert(version), "the same record under the same key, another version");
        bench.put(&one, Some(version), None).await;
        let version = bench.put(&two, None, Some(at(1))).await;
        assert!(seen.insert(version));
        bench.put(&two, Some(version), None).await;
    }
}

async fn a_tenant_has_so_many_and_no_more(bench: Bench) {
    let name = |n: usize| key("t", &format!("c{n}"), "jobs");
    let most = bench.setting.consumers_max;
    let mut versions = Vec::new();
    for n in 0..most {
        versions.push(bench.put(&name(n), None, Some(at(1))).await);
    }
    assert_eq!(bench.swap(&name(most), None, Some(at(1))).await, Swapped::Full);
    assert_eq!(bench.swap(&name(0), None, Some(at(1))).await, Swapped::Conflict, "it is there, which is told first");
    bench.put(&key("other", "c", "jobs"), None, Some(at(1))).await;
    versions[0] = bench.put(&name(0), Some(versions[0]), Some(at(2))).await;
    bench.put(&name(0), Some(versions[0]), None).await;
    bench.put(&name(most), None, Some(at(1))).await;
    assert_eq!(bench.swap(&name(0), None, Some(at(1))).await, Swapped::Full);
}

async fn keys_are_apart(bench: Bench) {
    let keys =
        [key("t", "a", "b:c"), key("t", "a.b", "c"), key("t.a", "b", "c"), key("t", "a", "b"), key("u", "a", "b")];
    for (n, key) in (1..).zip(&keys) {
        bench.put(key, None, Some(at(n))).await;
    }
    for (n, key) in (1..).zip(&keys) {
        assert_eq!(bench.get(key).await.map(|(_, progress)| progress), Some(at(n)), "{key:?}");
    }
}
