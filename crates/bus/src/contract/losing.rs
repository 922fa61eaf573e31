//! Readers stay whole while what is announced to their node is lost, doubled and reordered.

use std::time::Duration;

use fanfare_history::Admin;
use fanfare_model::{GapReason, StartFrom};

use crate::broker::Receive as _;

use super::node::{Got, PATIENCE, numbered, offsets, topic};
use super::{Cluster, PASSING, cases};

cases! {
    readers_are_complete_and_in_order,
    a_remade_connection_finds_the_lost_last_event,
    a_remade_connection_finds_a_lost_purge,
    what_passes_is_never_out_of_order,
}

// 28, 29
async fn readers_are_complete_and_in_order(cluster: &Cluster) {
    if cluster.one().broker.lossless() {
        return;
    }
    let a = topic("a");
    for seed in 1..=5 {
        let mut listener = cluster.one().listen(&a, StartFrom::Now).await;
        cluster.one().ear.lose(seed);
        let mut last = 0;
        for batch in 0..10 {
            let placed = cluster.other().publish_numbers(&a, batch * 10..batch * 10 + 10).await;
            last = placed[9].position.offset;
        }
        cluster.one().ear.be_good();
        // What comes after a hole shows it.
        let end = cluster.other().publish(&a, numbered(100)).await.position;
        let seen = listener.events(101).await;
        let stored = cluster.one().all(&a, end).await;
        assert!(seen == stored[stored.len() - 101..], "seed {seed}: {:?}", offsets(&seen));
        assert_eq!(seen[99].offset, last);
    }
}

// 30, 31
async fn a_remade_connection_finds_the_lost_last_event(cluster: &Cluster) {
    if cluster.one().broker.lossless() {
        return;
    }
    let a = topic("a");
    let mut listener = cluster.one().listen(&a, StartFrom::Now).await;
    for seed in 1..=20 {
        cluster.one().ear.lose(seed);
        let placed = cluster.other().publish_numbers(&a, 0..3).await;
        cluster.one().ear.be_good();
        cluster.one().ear.lost();
        let seen = listener.events(3).await;
        assert!(seen.iter().map(|event| event.position()).eq(placed.iter().map(|placed| placed.position)));
    }
}

// 21
async fn a_remade_connection_finds_a_lost_purge(cluster: &Cluster) {
    // Of a node that listens to nothing, so that no announcement comes.
    if cluster.one().broker.lossless() || cluster.nodes.len() == 1 {
        return;
    }
    let a = topic("a");
    let old = cluster.one().publish_numbers(&a, 0..3).await;
    let mut listener = cluster.one().listen(&a, StartFrom::Start).await;
    assert_eq!(listener.events(3).await.len(), 3);
    cluster.one().ear.be_deaf();
    cluster.other().bus.admin(Admin::Purge(a.clone())).await.expect("the purge succeeds");
    let placed = cluster.other().publish_numbers(&a, 0..5).await;
    // Who comes back now is told of it, if anything; it is not a fork.
    let back = cluster.one().listener().subscribe(&a, StartFrom::After(old[1].position)).await;
    assert!(back.gap.is_none_or(|gap| gap.reason == GapReason::Epoch), "{back:?}");
    cluster.one().ear.be_good();
    cluster.one().ear.lost();
    listener.until(|got| got.len() >= 6).await;
    assert!(matches!(&listener.got[0], Got::Gap(gap) if gap.reason == GapReason::Epoch), "{:?}", listener.got);
    listener.got.remove(0);
    let seen = listener.events(5).await;
    assert!(seen.iter().map(|event| event.position()).eq(placed.iter().map(|placed| placed.position)));
}

async fn what_passes_is_never_out_of_order(cluster: &Cluster) {
    if cluster.one().broker.lossless() {
        return;
    }
    let passing = topic(&format!("{PASSING}:a"));
    let mut listener = cluster.one().listen(&passing, StartFrom::Now).await;
    cluster.one().ear.lose(7);
    cluster.other().publish_numbers(&passing, 0..200).await;
    cluster.one().ear.be_good();
    // At most once: the broker itself may lose the one by which we know that it is over.
    loop {
        let last = cluster.other().publish(&passing, numbered(200)).await.position.offset;
        let is_last = |got: &Got| matches!(got, Got::Event(event) if event.offset == last);
        let patience = if cluster.is_exact() { PATIENCE } else { Duration::from_millis(100) };
        if listener.until_within(patience, |got| got.last().is_some_and(is_last)).await {
            break;
        }
        assert!(!cluster.is_exact(), "an announcement was lost");
    }
    let seen = listener.got.iter().filter_map(|got| match got {
        Got::Event(event) => Some(event.offset),
        Got::Gap(_) => None,
    });
    assert!(seen.is_sorted_by(|a, b| a < b), "{:?}", listener.got);
}
