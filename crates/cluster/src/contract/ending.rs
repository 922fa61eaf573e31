//! Leases end by time, which is the store's.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{BRIEF, Bench, acquire, acquire_when_free, cases, release, renew, renew_briefly, take, take_briefly};

cases![
    a_lease_ends_after_its_time_and_not_before,
    renewals_keep_a_lease,
    an_ended_holding_does_not_come_back,
    fences_grow_after_an_end,
    a_longer_time_is_kept,
];

async fn a_lease_ends_after_its_time_and_not_before(bench: Bench) {
    let asked = Instant::now();
    take_briefly(&bench.one, "job", "a").await;
    acquire_when_free(&bench.other, "job", "b").await;
    assert!(asked.elapsed() >= BRIEF, "given to another after {:?}", asked.elapsed());
}

async fn renewals_keep_a_lease(bench: Bench) {
    let begun = Instant::now();
    // Before it is asked for: a machine that is busy for longer than the lease lasts proves nothing.
    let mut renewed = begun;
    let fence = take_briefly(&bench.one, "job", "a").await;
    while begun.elapsed() < 3 * BRIEF {
        let asked = Instant::now();
        let kept = renew_briefly(&bench.one, "job", fence).await;
        if !kept {
            assert!(renewed.elapsed() >= BRIEF, "it was renewed {:?} ago", renewed.elapsed());
            return;
        }
        renewed = asked;
        sleep(BRIEF / 5).await;
        if acquire(&bench.other, "job", "b").await.is_some() {
            assert!(renewed.elapsed() >= BRIEF, "it was renewed {:?} ago", renewed.elapsed());
            return;
        }
    }
    acquire_when_free(&bench.other, "job", "b").await;
    assert!(renewed.elapsed() >= BRIEF, "the last renewal counts in full, not {:?}", renewed.elapsed());
}

async fn an_ended_holding_does_not_come_back(bench: Bench) {
    let name = "job/that/nobody/takes/over";
    let fence = take_briefly(&bench.one, name, "a").await;
    // Nobody else asks for it meanwhile.
    sleep(BRIEF + Duration::from_millis(1500)).await;
    assert!(!renew(&bench.one, name, fence).await, "it has ended");
    let later = take(&bench.one, name, "a").await;
    release(&bench.one, name, fence).await;
    assert!(renew(&bench.one, name, later).await, "the ended holding cannot release the later one");
}

async fn fences_grow_after_an_end(bench: Bench) {
    let first = take_briefly(&bench.one, "job", "a").await;
    let second = acquire_when_free(&bench.other, "job", "b").await;
    assert!(second > first, "{second} after {first}");
    assert!(!renew(&bench.one, "job", first).await, "another holds it");
}

async fn a_longer_time_is_kept(bench: Bench) {
    let fence = take(&bench.one, "job", "a").await;
    sleep(2 * BRIEF).await;
    assert_eq!(acquire(&bench.other, "job", "b").await, None, "it lasts for ten minutes");
    // A renewal may also shorten it.
    assert!(renew_briefly(&bench.one, "job", fence).await);
    acquire_when_free(&bench.other, "job", "b").await;
}
