//! Servers that die, change, and forget.

use std::sync::Arc;

use fanfare_engine_redis::{Engine, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, GapReason, SystemClock};
use fanfare_presence::Holder;
use fanfare_test_engines::{Cut, FaultProxy, Redis, RedisCluster, RedisSentinel};

use crate::reader::{Got, Node, events, topic};
use crate::support::{at, cluster, sentinel};

fn forks(got: &[Got]) -> usize {
    got.iter().filter(|got| matches!(got, Got::Gap(gap) if gap.reason == GapReason::Fork)).count()
}

/// A replica that misses the last events becomes the primary.
#[tokio::test(flavor = "multi_thread")]
async fn sentinel_promotes_a_stale_replica_and_readers_are_told() {
    let servers = RedisSentinel::start().await;
    let options = Options { timeout: PATIENT, ..sentinel(&servers) };
    let node = Node::start(&options).await;
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    let before = node.publish(&a, 1..=10).await;
    let old = servers.master().await;
    old.until_replicated().await;
    old.refuse_replicas().await;
    let lost = node.publish(&a, 11..=20).await;
    assert_eq!(listener.until_event(20).await, events(1..=20));
    old.kill();
    servers.until_promoted(old).await;
    let got = listener.until(|got| forks(got) > 0).await;
    assert_eq!(&got[..20], events(1..=20));
    let after = node.publish(&a, 101..=105).await;
    let got = listener.until_event(105).await;
    // Told once, nothing again, nothing of the lost, and all of the new.
    assert_eq!((forks(&got), &got[21..]), (1, &events(101..=105)[..]));
    assert_eq!(after[0].epoch, before[0].epoch);
    assert!(after[0].offset > lost[9].offset, "an offset is never given out again");
}

/// The same, of one primary of a Cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_promotes_a_stale_replica_and_readers_are_told() {
    let servers = RedisCluster::start().await;
    let node = Node::start(&Options { timeout: PATIENT, ..cluster(&servers) }).await;
    // Topics all over the Cluster: those of the other primaries have nothing to do with it.
    let topics: Vec<_> = (0..24).map(|n| topic(&format!("a:{n}"))).collect();
    let mut listeners = Vec::new();
    for topic in &topics {
        listeners.push(node.listen(topic).await);
        node.publish(topic, 1..=3).await;
    }
    let old = &servers.servers()[0];
    let old = servers.owner_of(&a_key_of(old).await).await;
    let key = a_key_of(old).await;
    old.until_replicated().await;
    old.refuse_replicas().await;
    for (topic, listener) in topics.iter().zip(&mut listeners) {
        node.publish(topic, 4..=6).await;
        assert_eq!(listener.until_event(6).await, events(1..=6));
    }
    old.kill();
    servers.until_promoted(old, &key).await;
    let mut forked = 0;
    for (topic, listener) in topics.iter().zip(&mut listeners) {
        node.publish(topic, 7..=9).await;
        let got = listener.until_event(9).await;
        forked += forks(&got);
        let numbers: Vec<_> = got.iter().filter(|got| matches!(got, Got::Event(_))).cloned().collect();
        assert_eq!(numbers, events(1..=9), "each once and in order");
        assert!(got.len() - numbers.len() <= 1, "at most told of the fork: {got:?}");
    }
    assert!((1..24).contains(&forked), "{forked} topics were on that primary and lost something");
}

/// A key that hashes to a slot of this master.
pub(crate) async fn a_key_of(server: &Redis) -> String {
    for n in 0..1000 {
        let key = format!("k{n}");
        if !server.cli(&["GET", &key]).await.starts_with("MOVED") {
            return key;
        }
    }
    panic!("the server owns no slot");
}

/// Longer than a failover takes on a machine that does other things as well.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_comes_back_with_all_that_was_acknowledged() {
    let server = Redis::start().await;
    let node = Node::start(&Options { timeout: PATIENT, ..at(server.url()) }).await;
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    let before = node.publish(&a, 1..=5).await;
    server.kill();
    let during = async { node.publish(&a, 6..=10).await };
    let (after, ()) = tokio::join!(during, server.restart());
    assert_eq!(listener.until_event(10).await, events(1..=10));
    assert_eq!(after[0].epoch, before[0].epoch);
    assert!(after[0].offset > before[4].offset + 1, "it is not known what was lost, so its offsets are left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_while_nobody_hears_is_read() {
    let server = Redis::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let through = at(format!("redis://{}", proxy.address()));
    let (node, other) = (Node::start(&through).await, Node::start(&at(server.url())).await);
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    for round in 0..5 {
        let first = round * 20 + 1;
        other.publish(&a, first..=first + 9).await;
        // In the middle of the stream, and then for some events altogether.
        proxy.refuse(true);
        proxy.cut(if round % 2 == 0 { Cut::Fin } else { Cut::Reset });
        other.publish(&a, first + 10..=first + 19).await;
        proxy.refuse(false);
        let last = first + 19;
        assert_eq!(listener.until_event(last).await, events(1..=last));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hears_nothing_any_more_is_replaced() {
    let server = Redis::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let probing = Duration(std::time::Duration::from_millis(100));
    let through = Options { probe_interval: probing, ..at(format!("redis://{}", proxy.address())) };
    let (node, other) = (Node::start(&through).await, Node::start(&at(server.url())).await);
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    other.publish(&a, 1..=1).await;
    listener.until_event(1).await;
    let accepted = proxy.accepted();
    // The connections stand and carry nothing.
    proxy.part(true);
    other.publish(&a, 2..=3).await;
    let replaced = async {
        while proxy.accepted() == accepted {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::reader::PATIENCE, replaced).await.expect("a new connection is tried");
    proxy.part(false);
    assert_eq!(listener.until_event(3).await, events(1..=3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_to_a_server_that_does_not_answer_fails_in_time() {
    let server = Redis::start().await;
    let options = Options { timeout: Duration::from_secs(3), ..at(server.url()) };
    let node = Node::start(&options).await;
    let a = topic("a");
    node.publish(&a, 1..=1).await;
    server.pause();
    let refused = tokio::time::timeout(crate::reader::PATIENCE / 2, node.try_publish(&a, 2)).await;
    let refused = refused.expect("it fails in time").unwrap_err();
    assert_eq!(refused.kind(), fanfare_model::Kind::Unavailable);
    server.resume();
    let again = async { while node.try_publish(&a, 3).await.is_err() {} };
    tokio::time::timeout(crate::reader::PATIENCE, again).await.expect("it is published when the server answers again");
}

/// A replica that is asked for and is not there.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_replica_has_is_not_acknowledged() {
    let server = Redis::start().await;
    let replicas_timeout = Duration(std::time::Duration::from_millis(50));
    let node = Node::start(&Options { replicas: 1, replicas_timeout, ..at(server.url()) }).await;
    let refused = node.try_publish(&topic("a"), 1).await.unwrap_err();
    assert_eq!(refused.kind(), fanfare_model::Kind::Unavailable);
}

/// A replica that stops, and comes back: what was not acknowledged is there once when it is published again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_that_stops_lacks_is_acknowledged_when_it_has_it() {
    let servers = RedisSentinel::start().await;
    let [master, replica] = servers.servers();
    let replicas_timeout = Duration(std::time::Duration::from_millis(200));
    let options = Options { replicas: 1, replicas_timeout, ..at(master.url()) };
    let (node, a) = (Node::start(&options).await, topic("a"));
    let mut listener = node.listen(&a).await;
    // A replica on a busy machine may take longer than is waited for it.
    let acknowledged = async |id: &str, number| {
        let whole = async { while node.try_publish_as(&a, id, number).await.is_err() {} };
        let whole = tokio::time::timeout(crate::reader::PATIENCE, whole).await;
        whole.expect("it is acknowledged when the replica has it");
    };
    for (id, number) in [("one", 1), ("two", 2), ("three", 3)] {
        acknowledged(id, number).await;
    }
    replica.pause();
    for _ in 0..2 {
        let refused = node.try_publish_as(&a, "four", 4).await.unwrap_err();
        assert_eq!(refused.kind(), fanfare_model::Kind::Unavailable);
    }
    // Nor by a connection that has written nothing of it.
    let another = Node::start(&options).await;
    assert!(another.try_publish_as(&a, "four", 4).await.is_err(), "a replica that lags is no replica");
    replica.resume();
    acknowledged("four", 4).await;
    acknowledged("five", 5).await;
    assert_eq!(listener.until_event(5).await, events(1..=5), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_to_be_carried_is_read() {
    let server = Redis::start().await;
    let (node, other) = (Node::start(&at(server.url())).await, Node::start(&at(server.url())).await);
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    let spaces = " ".repeat(100 * 1024);
    for number in 1..=3 {
        other.publish_text(&a, format!("{number}{spaces}")).await;
        assert_eq!(listener.until_event(number).await, events(1..=number));
    }
}

/// Who was there before may have been forgotten: nodes are told, and come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_tells_the_nodes_to_enter_again() {
    let (server, life) = (Redis::start().await, Lifecycle::new());
    let options = Options { timeout: PATIENT, ..at(server.url()) };
    let engine = Engine::connect(&options, Arc::new(SystemClock), &life).await.expect("the engine connects");
    let presence = engine.presence();
    let (one, lease) = (Holder(Arc::from("one")), std::time::Duration::from_secs(60));
    let beat = async || presence.heartbeat(&one, lease).await.expect("a sign of life is taken");
    assert_eq!((beat().await, beat().await), (false, true));
    server.kill();
    server.restart().await;
    assert!(!beat().await);
    assert!(!beat().await, "another holder is needed");
    life.stop();
}
