//! What outlives the store.

use super::{Bench, at, cases, key};
use crate::{Error, Swap, Swapped};

cases! {
    a_closed_store_answers_nothing,
    a_restart_keeps_everything_or_nothing,
    a_kill_loses_nothing_that_was_answered,
}

async fn a_closed_store_answers_nothing(bench: Bench) {
    let key = key("t", "a", "jobs");
    bench.put(&key, None, Some(at(1))).await;
    bench.cursors.close().await.expect("the store closes");
    let swap = Swap { key: key.clone(), expected: None, progress: Some(at(2)), commit: false };
    assert!(matches!(bench.cursors.swap(swap).await, Err(Error::Closed)));
    assert!(matches!(bench.cursors.get(&key).await, Err(Error::Closed)));
    bench.cursors.close().await.expect("closing again does no harm");
}

async fn a_restart_keeps_everything_or_nothing(bench: Bench) {
    let (one, two) = (key("t", "a", "jobs"), key("t", "b", "jobs"));
    let version = bench.put(&one, None, Some(at(1))).await;
    let gone = bench.put(&two, None, Some(at(2))).await;
    bench.put(&two, Some(gone), None).await;
    let survives = bench.cursors.survives_restart();
    let bench = bench.restart(true).await;
    assert_eq!(bench.get(&one).await, survives.then(|| (version, at(1))));
    assert_eq!(bench.get(&two).await, None);
    if survives {
        let most = bench.setting.consumers_max;
        for n in 1..most {
            bench.put(&key("t", &format!("c{n}"), "jobs"), None, Some(at(1))).await;
        }
        assert_eq!(bench.swap(&two, None, Some(at(1))).await, Swapped::Full, "it still knows how many there are");
    }
}

async fn a_kill_loses_nothing_that_was_answered(mut bench: Bench) {
    if !bench.cursors.survives_restart() {
        return;
    }
    let key = key("t", "a", "jobs");
    let mut expected = None;
    for n in 0..5 {
        let swap = Swap { key: key.clone(), expected, progress: Some(at(n)), commit: n % 2 == 0 };
        let Ok(Swapped::Done(version)) = bench.cursors.swap(swap).await else { panic!("swap {n} is not done") };
        bench = bench.restart(false).await;
        assert_eq!(bench.get(&key).await, Some((version, at(n))));
        expected = Some(version);
    }
}
