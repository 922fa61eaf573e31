//! Who owns which shards, in any state of the cluster.

use std::time::Duration;

use fanfare_cluster::Leases as _;

use crate::support::{Cluster, SHARDS, assert_apart, own_all, settled, until};

/// A node that is alone owns everything as soon as its task has had a turn.
#[tokio::test(start_paused = true)]
async fn one_node_owns_all_at_once() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    let begun = tokio::time::Instant::now();
    let mut watch = node.shards.watch();
    watch.wait_for(|owned| owned.len() == usize::from(SHARDS)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Of a space that comes later as well.
    let later = node.handle.ownership("later", 8);
    later.watch().wait_for(|owned| owned.len() == 8).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // And keeps it.
    let before = node.shards.shards();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(node.shards.shards(), before);
}

#[tokio::test(start_paused = true)]
async fn nodes_share_and_a_new_one_takes_its_part_only() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.node("a"), cluster.node("b"), cluster.node("c"));
    let took = settled(&[&a, &b, &c]).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    let names: Vec<_> = c.handle.nodes().borrow().iter().map(|node| node.name.clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);

    let before = [a.owned(), b.owned(), c.owned()];
    let d = cluster.node("d");
    let took = settled(&[&a, &b, &c, &d]).await;
    // They hear of it, and need not wait for a heartbeat.
    assert!(took < Duration::from_secs(2), "{took:?}");
    for (before, node) in before.iter().zip([&a, &b, &c]) {
        assert!(node.owned().is_subset(before), "nobody gets anything but the new one");
    }
}

/// A node that is cut off stops by itself before anybody else begins, and does not come back to what it had.
#[tokio::test(start_paused = true)]
async fn a_stalled_owner_stops_before_others_begin() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    settled(&[&a, &b]).await;
    let (shard, old) = a.shards.shards().iter().map(|(shard, fence)| (*shard, *fence)).next().unwrap();
    a.cut_off(true);
    let took = until(&[&a, &b], || own_all(&[&b])).await;
    // It held the lease for up to 15 s; then b looks within 5 s.
    assert!((Duration::from_secs(9)..Duration::from_secs(21)).contains(&took), "{took:?}");
    assert!(a.owned().is_empty());
    assert!(b.fence(shard).unwrap() > old, "the later owner has the greater fence");
    assert!(!a.shards.owns(shard, old) && a.shards.hold(shard, old).is_none());

    a.cut_off(false);
    settled(&[&a, &b]).await;
    assert!(!a.shards.owns(shard, old), "what it had is not what it has");
    assert!(a.fence(shard).is_none_or(|new| new > old));
}

/// The store is away for a moment that is shorter than leases last.
#[tokio::test(start_paused = true)]
async fn a_short_outage_moves_nothing() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    settled(&[&a, &b]).await;
    let before = (a.shards.shards(), b.shards.shards());
    tokio::time::sleep(Duration::from_secs(1)).await;
    a.cut_off(true);
    b.cut_off(true);
    tokio::time::sleep(Duration::from_secs(6)).await;
    a.cut_off(false);
    b.cut_off(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((a.shards.shards(), b.shards.shards()), before);
}

/// Who stops hands over while it still serves, and is gone when it has stopped.
#[tokio::test(start_paused = true)]
async fn a_draining_node_hands_over_at_once() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    settled(&[&a, &b]).await;
    a.life.drain();
    let took = until(&[&a, &b], || own_all(&[&b])).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(b.handle.look().await.unwrap().len(), 2, "it is alive as long as it serves");
    a.life.stop();
    a.life.ended().await;
    assert_eq!(b.handle.look().await.unwrap().len(), 1);

    // The last one keeps all until the end, and then leaves nothing behind.
    b.life.drain();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(own_all(&[&b]));
    b.life.stop();
    b.life.ended().await;
    assert_eq!(cluster.leases.list("").await.unwrap(), []);
}

/// Work under way is finished before another node goes on with it; but nobody waits forever.
#[tokio::test(start_paused = true)]
async fn held_shards_wait_for_the_end_of_the_work() {
    let cluster = Cluster::new();
    let a = cluster.node("a");
    until(&[&a], || own_all(&[&a])).await;
    let held: Vec<_> = a.shards.shards().iter().map(|(shard, fence)| a.shards.hold(*shard, *fence).unwrap()).collect();
    let b = cluster.node("b");
    until(&[&a, &b], || !own_all(&[&a])).await;
    let left: Vec<u16> = (0..SHARDS).filter(|shard| a.fence(*shard).is_none()).collect();
    assert!(held.iter().filter(|hold| hold.is_over()).count() == left.len() && !left.is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(b.owned().is_empty(), "a works on them");

    let (done, stuck): (Vec<_>, Vec<_>) = held.into_iter().enumerate().partition(|(shard, _)| *shard % 2 == 0);
    for (_, hold) in &done {
        if hold.is_over() {
            // Says so at once.
            hold.over().await;
        }
    }
    drop(done);
    let took = until(&[&a, &b], || left.iter().all(|shard| shard % 2 == 1 || b.fence(*shard).is_some())).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let took = settled(&[&a, &b]).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    drop(stuck);
    assert_apart(&[&a, &b]);
}

/// A shard on which somebody works is not given back by its former owner after it is another's.
#[tokio::test(start_paused = true)]
async fn a_hold_dropped_too_late_changes_nothing() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    settled(&[&a, &b]).await;
    let holds: Vec<_> = a.shards.shards().iter().filter_map(|(shard, fence)| a.shards.hold(*shard, *fence)).collect();
    a.cut_off(true);
    until(&[&a, &b], || own_all(&[&b])).await;
    assert!(holds.iter().all(fanfare_cluster::Hold::is_over));
    let before = b.shards.shards();
    a.cut_off(false);
    drop(holds);
    settled(&[&a, &b]).await;
    for (shard, fence) in b.shards.shards().iter() {
        assert_eq!(before.get(shard), Some(fence), "what b kept it kept under the same fence");
    }
}
