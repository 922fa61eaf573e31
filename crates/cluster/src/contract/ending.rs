//! Leases end by time, which is the store's.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Bench, TTL, acquire, acquire_when_free, cases, release, renew, take};

cases![
    a_lease_ends_after_its_time_and_not_before,
    renewals_keep_a_lease,
    an_ended_holding_does_not_come_back,
    fences_grow_after_an_end,
    a_longer_time_is_kept,
];

async fn a_lease_ends_after_its_time_and_not_before(bench: Bench) {
    let asked = Instant::now();
    take(&bench.one, "job", "a").await;
    acquire_when_free(&bench.other, "job", "b").await;
    assert!(asked.elapsed() >= TTL, "given to another after {:?}", asked.elapsed());
}

async fn renewals_keep_a_lease(bench: Bench) {
    let fence = take(&bench.one, "job", "a").await;
    let begun = Instant::now();
    while begun.elapsed() < 3 * TTL {
        // Before each renewal is asked for: a machine that is busy for longer than the lease lasts proves nothing.
        let renewed = Instant::now();
        let kept = renew(&bench.one, "job", fence).await;
        sleep(TTL / 5).await;
        let taken = acquire(&bench.other, "job", "b").await;
        if renewed.elapsed() < TTL {
            assert!(taken.is_none(), "it was renewed {:?} ago", renewed.elapsed());
        }
        if !kept || taken.is_some() {
            return;
        }
    }
    let renewed = Instant::now();
    assert!(renew(&bench.one, "job", fence).await);
    acquire_when_free(&bench.other, "job", "b").await;
    assert!(renewed.elapsed() >= TTL, "the last renewal counts in full, not {:?}", renewed.elapsed());
}

async fn an_ended_holding_does_not_come_back(bench: Bench) {
    let name = "job/that/nobody/takes/over";
    let fence = take(&bench.one, name, "a").await;
    // Nobody else asks for it meanwhile.
    sleep(TTL + Duration::from_millis(1500)).await;
    assert!(!renew(&bench.one, name, fence).await, "it has ended");
    let later = take(&bench.one, name, "a").await;
    release(&bench.one, name, fence).await;
    assert!(renew(&bench.one, name, later).await, "the ended holding cannot release the later one");
}

async fn fences_grow_after_an_end(bench: Bench) {
    let first = take(&bench.one, "job", "a").await;
    let second = acquire_when_free(&bench.other, "job", "b").await;
    assert!(second > first, "{second} after {first}");
    assert!(!renew(&bench.one, "job", first).await, "another holds it");
}

async fn a_longer_time_is_kept(bench: Bench) {
    let (name, long) = ("job", Duration::from_secs(600));
    let fence = bench.one.acquire(name, "a", long).await.expect("an answer").expect("it is free");
    sleep(2 * TTL).await;
    assert_eq!(acquire(&bench.other, name, "b").await, None, "it lasts for ten minutes");
    // A renewal may also shorten it.
    assert!(renew(&bench.one, name, fence).await);
    acquire_when_free(&bench.other, name, "b").await;
}
