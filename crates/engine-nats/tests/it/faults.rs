//! Servers that die and come back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fanfare_engine_nats::Options;
use fanfare_model::StartFrom;
use fanfare_test_engines::{Nats, NatsCluster};

use crate::node::{Got, Node, events, topic};
use crate::support::options;

/// The leader of the stream is killed while events are published: none that was acknowledged is lost, and readers on
/// every node get each once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_loses_nothing() {
    let servers = NatsCluster::start().await;
    let options = Options { replicas: 3, ..options(servers.urls(), "r3") };
    let (one, other) = (Node::start(&options).await, Node::start(&options).await);
    let topics = [topic("a"), topic("b"), topic("c")];
    let mut listeners = Vec::new();
    for node in [&one, &other] {
        for topic in &topics {
            listeners.push((topic.clone(), node.listen(topic, StartFrom::Start).await));
        }
    }
    let publish = futures_util::future::join_all(topics.iter().map(|topic| one.publish_all(topic, 1..=300)));
    let kill = async {
        other.until_head(&topics[0], 100).await;
        servers.leader_of("r3-log").await.kill();
        Instant::now()
    };
    let (placed, killed) = futures_util::future::join(publish, kill).await;
    for ((topic, listener), places) in listeners.iter_mut().zip(placed.iter().cycle()) {
        assert_eq!(listener.until_event(300).await, events(1..=300), "each once and in order, of {topic:?}");
        let offsets: Vec<u64> = places.iter().map(|place| place.offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "in the order of publishing");
        let epochs: BTreeSet<_> = places.iter().map(|place| place.epoch).collect();
        assert_eq!(epochs.len(), 1, "in one epoch");
    }
    println!("everything was published and read {:?} after the leader was killed", killed.elapsed());
}

/// The only server is killed and started again: what was acknowledged is there, readers go on where they were, and topics
/// that keep nothing go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_comes_back_with_everything() {
    let server = Nats::start().await;
    let node = Node::start(&options(vec![server.url()], "alone")).await;
    let (kept, passing) = (topic("a"), topic("passing"));
    let mut listener = node.listen(&kept, StartFrom::Start).await;
    let mut passer = node.listen(&passing, StartFrom::Now).await;
    let before = node.publish_all(&kept, 1..=50).await;
    node.publish(&passing, 1).await;
    passer.until_event(1).await;
    server.kill();
    server.restart().await;
    let after = node.publish_all(&kept, 51..=60).await;
    assert_eq!(listener.until_event(60).await, events(1..=60));
    assert_eq!((before[0].epoch, before[49].offset < after[0].offset), (after[0].epoch, true));
    // Its order was forgotten with the server, so who listens may be told of a gap; what comes after arrives.
    let mut number = 2;
    loop {
        node.publish(&passing, number).await;
        let wanted = Got::Event(number);
        if tokio::time::timeout(Duration::from_secs(1), passer.until(|got| got.contains(&wanted))).await.is_ok() {
            break;
        }
        number += 1;
        assert!(number < 60, "topics that keep nothing go on");
    }
}

/// A node that was not there reads what it missed; one whose connection was cut is whole again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_is_whole_again() {
    let server = Nats::start().await;
    let proxy = fanfare_test_engines::FaultProxy::start(server.address()).await;
    let direct = Node::start(&options(vec![server.url()], "cut")).await;
    let far = Node::start(&options(vec![format!("nats://{}", proxy.address())], "cut")).await;
    let a = topic("a");
    let mut listener = far.listen(&a, StartFrom::Start).await;
    direct.publish_all(&a, 1..=10).await;
    listener.until_event(10).await;
    proxy.refuse(true);
    proxy.cut(fanfare_test_engines::Cut::Reset);
    direct.publish_all(&a, 11..=30).await;
    proxy.refuse(false);
    assert_eq!(listener.until_event(30).await, events(1..=30));
}

/// Heads of hundreds of topics are asked for in one call, which must not take seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_heads_of_many_topics_take_a_moment() {
    let server = Nats::start().await;
    let node = Node::start(&options(vec![server.url()], "heads")).await;
    let topics: Vec<_> = (0..512).map(|n| topic(&format!("t:{n}"))).collect();
    let mut placed = Vec::new();
    for topic in &topics {
        placed.push(node.publish_all(topic, 1..=3).await[2]);
    }
    let mut took = Vec::new();
    for _ in 0..3 {
        let since = Instant::now();
        let heads = node.heads(topics.clone()).await;
        took.push(since.elapsed());
        assert_eq!(heads.iter().map(|head| head.last).collect::<Vec<_>>(), placed);
    }
    println!("the heads of 512 topics took {took:?}");
    // One of them may have met a busy moment of the machine.
    assert!(took.iter().any(|took| *took < Duration::from_secs(5)), "took {took:?}");
}
