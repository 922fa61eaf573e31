//! Topics that keep nothing: ordered, carried, at most once.

use fanfare_history::{Direction, Read, ReadFrom};
use fanfare_model::{Data, StartFrom, Tenant, TopicKey};
use futures_util::future::{join, join_all};

use super::node::{Listener, numbered, offsets, topic};
use super::{Cluster, PASSING, cases};

cases! {
    what_passes_is_seen_in_one_order_on_every_node,
    nothing_of_it_is_kept,
    signals_reach_every_node,
}

async fn listeners(cluster: &Cluster, topic: &TopicKey) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        listeners.push(node.listen(topic, StartFrom::Now).await);
    }
    listeners
}

async fn what_passes_is_seen_in_one_order_on_every_node(cluster: &Cluster) {
    if !cluster.is_exact() {
        return;
    }
    let passing = topic(&format!("{PASSING}:a"));
    let mut listeners = listeners(cluster, &passing).await;
    // So few at once that they fit the rings: who falls behind misses something.
    let rounds = 10;
    let publishing = join_all(cluster.nodes.iter().map(|node| {
        let passing = &passing;
        async move {
            for n in 0..rounds {
                node.publish(passing, numbered(n)).await;
            }
        }
    }));
    let count = cluster.nodes.len() * 10;
    let listening = join_all(listeners.iter_mut().map(|listener| listener.events(count)));
    let (_, seen) = join(publishing, listening).await;
    for events in &seen {
        assert!(*events == seen[0], "one order: {:?}, not {:?}", offsets(events), offsets(&seen[0]));
        assert!(events.windows(2).all(|pair| pair[1].prev == pair[0].offset && pair[1].epoch == pair[0].epoch));
    }
}

async fn nothing_of_it_is_kept(cluster: &Cluster) {
    let passing = topic(&format!("{PASSING}:a"));
    let placed = cluster.one().publish_numbers(&passing, 0..5).await;
    assert!(placed.windows(2).all(|pair| pair[0].position.offset < pair[1].position.offset));
    for node in &cluster.nodes {
        let head = node.bus.heads(vec![passing.clone()]).await.expect("the head is read")[0];
        assert_eq!((head.events, head.bytes), (0, 0));
        let (limit, bytes_max) = (usize::MAX, usize::MAX);
        let (from, direction) = (ReadFrom::End, Direction::Forward);
        let read = Read { topic: passing.clone(), from, direction, limit, bytes_max, age_max: None };
        assert!(node.bus.read(read).await.expect("the log is read").events.is_empty());
        // Who comes now begins with what comes next.
        let mut listener = node.listen(&passing, StartFrom::Start).await;
        if cluster.is_exact() {
            let next = node.publish(&passing, numbered(9)).await.position;
            assert_eq!(listener.events(1).await[0].position(), next);
        }
    }
}

async fn signals_reach_every_node(cluster: &Cluster) {
    if !cluster.is_exact() {
        return;
    }
    let about = topic("chat:42");
    let companion = TopicKey::new(Tenant::default(), about.topic.signals());
    let mut listeners = listeners(cluster, &companion).await;
    for (n, node) in cluster.nodes.iter().enumerate() {
        let data = Data::text(n.to_string());
        node.bus.signal(&about.tenant, &about.topic, "typing", data).await.expect("it is signalled");
    }
    for listener in &mut listeners {
        let seen = listener.events(cluster.nodes.len()).await;
        let texts: Vec<_> = seen.iter().filter_map(|event| event.draft.data.as_text()).collect();
        assert_eq!(texts, (0..cluster.nodes.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
