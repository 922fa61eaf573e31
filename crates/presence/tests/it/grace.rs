//! Sessions that break off, come back, or say goodbye.

use fanfare_model::Tenant;
use fanfare_presence::Options;

use crate::support::{Watcher, ids, node, time_passes};

#[tokio::test(start_paused = true)]
async fn who_is_back_in_time_was_never_gone() {
    let node = node(Options::default());
    node.enter("chat:1", "a").await;
    node.enter("chat:2", "a").await;
    time_passes(1000).await;
    let mut watcher = Watcher::open(&node, "chat:1").await;
    for _ in 0..3 {
        node.disconnected("a");
        time_passes(9_900).await;
        assert_eq!(node.resumed("a").await, ["chat:1", "chat:2"]);
    }
    time_passes(60_000).await;
    watcher.catch_up().await;
    assert_eq!((watcher.diffs.len(), watcher.members.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_stays_away_leaves_when_its_grace_ends() {
    let node = node(Options::default());
    for topic in ["chat:1", "quick:1", "patient:1"] {
        node.enter(topic, "a").await;
        node.enter(topic, "b").await;
    }
    time_passes(1000).await;
    let mut watcher = Watcher::open(&node, "chat:1").await;
    node.disconnected("a");
    time_passes(1).await;
    assert_eq!(node.ids("quick:1").await, ["b"], "each topic has its own grace");
    time_passes(9_900).await;
    // To break off again does not begin it anew.
    node.disconnected("a");
    assert_eq!(node.ids("chat:1").await, ["a", "b"]);
    time_passes(200).await;
    assert_eq!(node.ids("chat:1").await, ["b"]);
    assert_eq!(node.resumed("a").await, ["patient:1"]);
    time_passes(120_000).await;
    assert_eq!(node.ids("patient:1").await, ["a", "b"], "it came back in time for that one");
    watcher.catch_up().await;
    assert_eq!(watcher.diffs.len(), 1);
    assert_eq!(ids(&watcher.diffs[0].leave), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn who_says_goodbye_leaves_at_once() {
    let node = node(Options::default());
    node.enter("chat:1", "a").await;
    node.enter("patient:1", "a").await;
    node.gone("a").await;
    assert!(node.ids("chat:1").await.is_empty() && node.ids("patient:1").await.is_empty());
    assert!(node.resumed("a").await.is_empty());
    // Also one that had broken off before.
    node.enter("patient:1", "b").await;
    node.disconnected("b");
    node.gone("b").await;
    assert!(node.ids("patient:1").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_never_entered_costs_nothing() {
    let node = node(Options::default());
    node.disconnected("nobody");
    node.gone("nobody").await;
    assert!(node.resumed("nobody").await.is_empty());
    // A member that was removed has nothing to come back to.
    node.enter("chat:1", "a@alice").await;
    let alice = fanfare_model::UserId::new("alice").unwrap();
    assert_eq!(node.presence.remove_user(&Tenant::default(), &alice).await.unwrap(), 1);
    node.disconnected("a");
    time_passes(20_000).await;
    assert!(node.resumed("a").await.is_empty());
}
