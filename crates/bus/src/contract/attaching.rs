//! Interest in topics: attaching, detaching, and what is in flight meanwhile.

use std::time::Duration;

use fanfare_model::{StartFrom, TopicKey};
use futures_util::future::{join, join_all};

use super::node::{Listener, Node, numbered, topic};
use super::{Cluster, cases};

cases! {
    what_is_published_while_attaching_is_not_missed,
    a_thousand_topics_at_once,
    a_detached_topic_falls_silent_and_is_heard_again_when_attached,
    attaching_and_detaching_many_times,
    heads_are_not_behind_what_was_announced,
}

// 23
async fn what_is_published_while_attaching_is_not_missed(cluster: &Cluster) {
    const RACES: u64 = 1000;
    const AT_ONCE: u64 = 10;
    let races = (0..AT_ONCE).map(|lane| async move {
        let mut listener = cluster.one().listener();
        for race in (lane..RACES).step_by(AT_ONCE.try_into().unwrap_or(1)) {
            one_race(&mut listener, cluster.other(), &topic(&format!("race:{race}"))).await;
        }
    });
    join_all(races).await;
}

async fn one_race(listener: &mut Listener, publisher: &Node, race: &TopicKey) {
    let subscribing = listener.subscribe(race, StartFrom::Now);
    let (subscribed, placed) = join(subscribing, publisher.publish(race, numbered(0))).await;
    if placed.position.offset > subscribed.position.offset {
        assert_eq!(listener.events(1).await[0].position(), placed.position);
    }
    listener.reader.unsubscribe(subscribed.id);
}

async fn a_thousand_topics_at_once(cluster: &Cluster) {
    if !cluster.is_exact() {
        return;
    }
    let topics: Vec<_> = (0..1000).map(|n| topic(&format!("many:{n}"))).collect();
    let (one, other) = (cluster.one(), cluster.other());
    one.broker.attach(topics.clone()).await.expect("the topics are attached");
    let batch = topics.iter().map(|topic| (topic.clone(), numbered(0))).collect();
    other.try_publish(batch).await;
    for topic in &topics {
        one.ear.until_count(topic, 1).await;
        assert_eq!(one.ear.count(topic), 1);
    }
    one.broker.detach(topics);
}

// 33
async fn a_detached_topic_falls_silent_and_is_heard_again_when_attached(cluster: &Cluster) {
    // Within one process there is nothing to be saved by it.
    if !cluster.is_exact() || cluster.nodes.len() == 1 {
        return;
    }
    let (one, other) = (cluster.one(), cluster.other());
    let gone = topic("gone");
    one.broker.attach(vec![gone.clone()]).await.expect("the topics are attached");
    other.publish(&gone, numbered(0)).await;
    one.ear.until_count(&gone, 1).await;
    one.broker.detach(vec![gone.clone()]);
    falls_silent(cluster, std::slice::from_ref(&gone)).await;
    let before = one.ear.count(&gone);
    one.broker.attach(vec![gone.clone()]).await.expect("the topic is attached");
    other.publish(&gone, numbered(0)).await;
    one.ear.until_count(&gone, before + 1).await;
}

/// Waits until nothing of these topics is announced to the first node any more; the engine may learn of it a little later.
async fn falls_silent(cluster: &Cluster, topics: &[TopicKey]) {
    let (one, other, marker) = (cluster.one(), cluster.other(), topic("marker"));
    one.broker.attach(vec![marker.clone()]).await.expect("the topic is attached");
    let heard = || topics.iter().map(|topic| one.ear.count(topic)).sum::<usize>();
    let silence = async {
        for round in 1.. {
            let before = heard();
            let batch = topics.iter().chain([&marker]).map(|topic| (topic.clone(), numbered(round))).collect();
            other.try_publish(batch).await;
            one.ear.until_count(&marker, usize::try_from(round).unwrap_or(0)).await;
            if heard() == before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), silence).await.is_ok(), "they are still announced");
}

// 33
async fn attaching_and_detaching_many_times(cluster: &Cluster) {
    let (one, other) = (cluster.one(), cluster.other());
    let topics: Vec<_> = (0..100).map(|n| topic(&format!("churn:{n}"))).collect();
    for _ in 0..50 {
        one.broker.attach(topics.clone()).await.expect("the topics are attached");
        one.broker.detach(topics.clone());
    }
    if cluster.is_exact() && cluster.nodes.len() > 1 {
        falls_silent(cluster, &topics).await;
    }
    // Whatever was last asked for counts.
    for n in 0..50 {
        one.broker.detach(vec![topics[0].clone()]);
        one.broker.attach(vec![topics[0].clone()]).await.expect("the topic is attached");
        if cluster.is_exact() {
            let before = one.ear.count(&topics[0]);
            other.publish(&topics[0], numbered(n)).await;
            one.ear.until_count(&topics[0], before + 1).await;
        }
    }
}

/// What tells a fork from a head that is merely behind.
async fn heads_are_not_behind_what_was_announced(cluster: &Cluster) {
    let a = topic("a");
    let (one, other) = (cluster.one(), cluster.other());
    let mut listener = one.listen(&a, StartFrom::Now).await;
    for n in 0..100 {
        other.publish(&a, numbered(n)).await;
        let known = listener.events(1).await[0].position();
        let heads = one.broker.heads(vec![a.clone()]).await.expect("the heads are read");
        assert!(heads[0].last.epoch == known.epoch && heads[0].last.offset >= known.offset);
    }
}
