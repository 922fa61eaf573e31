//! Order and idempotency across nodes, and reading what another node has published.

use std::sync::Arc;

use fanfare_history::Admin;
use fanfare_model::{Data, Draft, GapReason, Position, StartFrom, Tag, Tenant, Topic, TopicKey};
use futures_util::future::{join, join_all};

use super::node::{Got, numbered, offsets, topic, with_id};
use super::{Cluster, PASSING, cases};

cases! {
    every_reader_on_every_node_sees_one_order,
    an_id_is_stored_once_whichever_node_publishes_it,
    a_reader_resumes_on_another_node_at_every_offset,
    a_position_that_never_was_is_told,
    a_large_event_reaches_every_node,
    odd_names_are_announced_to_their_own_readers,
    a_batch_of_topics_that_are_kept_and_not_is_answered_in_order,
    a_purge_is_heard_on_every_node,
    truncating_is_seen_on_every_node,
    an_internal_log_is_read_on_every_node,
}

// 3, 4
async fn every_reader_on_every_node_sees_one_order(cluster: &Cluster) {
    const BATCHES: u64 = 10;
    let a = topic("a");
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        for _ in 0..2 {
            listeners.push(node.listen(&a, StartFrom::Now).await);
        }
    }
    let publishers = cluster.nodes.iter().flat_map(|node| (0..8).map(move |_| node));
    let publishing = join_all(publishers.map(|node| {
        let a = &a;
        async move {
            for batch in 0..BATCHES {
                let placed = node.publish_numbers(a, batch * 2..batch * 2 + 2).await;
                assert!(placed[0].position.offset < placed[1].position.offset, "the order of the batch is kept");
            }
        }
    }));
    let count = cluster.nodes.len() * 8 * 2 * usize::try_from(BATCHES).unwrap_or(0);
    let listening = join_all(listeners.iter_mut().map(|listener| listener.events(count)));
    let (_, seen) = join(publishing, listening).await;
    let stored = cluster.one().all(&a, seen[0][count - 1].position()).await;
    assert_eq!(stored.len(), count);
    for seen in seen {
        assert!(seen == stored, "what is seen is what is stored: {:?}, not {:?}", offsets(&seen), offsets(&stored));
    }
}

// 6
async fn an_id_is_stored_once_whichever_node_publishes_it(cluster: &Cluster) {
    let a = topic("a");
    for round in 0..10 {
        let publishers = cluster.nodes.iter().flat_map(|node| [node, node]);
        let answers = join_all(publishers.map(|node| node.publish(&a, with_id(&format!("id-{round}"))))).await;
        assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
        assert!(answers.windows(2).all(|pair| pair[0].position == pair[1].position));
        let stored = cluster.other().all(&a, answers[0].position).await;
        assert_eq!(stored.len(), round + 1);
    }
}

// 24, 25
async fn a_reader_resumes_on_another_node_at_every_offset(cluster: &Cluster) {
    let a = topic("a");
    let placed = cluster.one().publish_numbers(&a, 0..100).await;
    let last = placed[99].position;
    let stored = cluster.other().all(&a, last).await;
    for (at, place) in placed.iter().enumerate() {
        let mut listener = cluster.other().listener();
        let subscribed = listener.subscribe(&a, StartFrom::After(place.position)).await;
        assert_eq!((subscribed.position, subscribed.gap), (place.position, None));
        assert!(listener.events(99 - at).await == stored[at + 1..], "the suffix after {at}");
    }
}

// 26, 27
async fn a_position_that_never_was_is_told(cluster: &Cluster) {
    let a = topic("a");
    let placed = cluster.one().publish_numbers(&a, 0..10).await;
    let (at, last) = (placed[4].position, placed[9].position);
    let stored = cluster.other().all(&a, last).await;
    let another_event = Position { tag: Tag::from_u16(at.tag.as_u16() ^ 2), ..at };
    let another_end = Position { tag: Tag::from_u16(last.tag.as_u16() ^ 2), ..last };
    let beyond = Position { offset: last.offset + 1, ..last };
    for node in &cluster.nodes {
        for position in [another_event, another_end, beyond] {
            let mut listener = node.listener();
            let gap = listener.subscribe(&a, StartFrom::After(position)).await.gap;
            assert_eq!(gap.map(|gap| gap.reason), Some(GapReason::Fork), "{position:?}");
            assert!(listener.events(10).await == stored, "it begins with the oldest");
        }
    }
}

/// An event that is too large to be carried with the news.
async fn a_large_event_reaches_every_node(cluster: &Cluster) {
    let a = topic("a");
    let size = cluster.can.event_bytes_max.min(1 << 20) - 1000;
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        listeners.push(node.listen(&a, StartFrom::Now).await);
    }
    cluster.one().publish(&a, numbered(0)).await;
    let data = Data::binary((0..=255).cycle().take(size).collect::<Vec<u8>>());
    cluster.other().publish(&a, Draft::new(data.clone())).await;
    cluster.one().publish(&a, numbered(1)).await;
    for listener in &mut listeners {
        assert!(listener.events(3).await[1].draft.data == data);
    }
}

// 11
async fn odd_names_are_announced_to_their_own_readers(cluster: &Cluster) {
    let long = format!("k:{}", "x".repeat(253));
    let every = (' '..='~').chain(['ä', '€', '😀']).map(|c| format!("a:{c}"));
    let names: Vec<_> =
        ["a", "A", "a.b", "a:{b}c", "a:b c", "a:b:c", &*long].map(str::to_owned).into_iter().chain(every).collect();
    let of = |tenant: Tenant, name: &String| TopicKey::new(tenant, Topic::new(name).expect("a valid topic"));
    let other = Tenant::new("other").expect("a valid tenant");
    let elsewhere = names.iter().take(7).map(|name| of(other.clone(), name));
    let topics: Vec<_> = names.iter().map(|name| of(Tenant::default(), name)).chain(elsewhere).collect();
    let mut listeners = Vec::new();
    for topic in &topics {
        listeners.push(cluster.other().listen(topic, StartFrom::Now).await);
        listeners.push(cluster.other().listen(&companion(topic), StartFrom::Now).await);
    }
    for topic in &topics {
        cluster.one().publish(topic, Draft::new(Data::text(topic.topic.as_str()))).await;
        if cluster.is_exact() {
            let data = Data::text(topic.topic.as_str());
            cluster.one().bus.signal(&topic.tenant, &topic.topic, "ping", data).await.expect("it is signalled");
        }
    }
    for (topic, pair) in topics.iter().zip(listeners.chunks_mut(2)) {
        for (listener, name) in pair.iter_mut().zip([topic.clone(), companion(topic)]) {
            if name.topic.is_signals() && !cluster.is_exact() {
                continue;
            }
            let events = listener.events(1).await;
            assert_eq!((events.len(), &events[0].topic), (1, &name));
            assert_eq!(events[0].draft.data.as_text(), Some(topic.topic.as_str()), "no cross-talk with {topic:?}");
        }
    }
}

fn companion(topic: &TopicKey) -> TopicKey {
    TopicKey::new(topic.tenant.clone(), topic.topic.signals())
}

// 9
async fn a_batch_of_topics_that_are_kept_and_not_is_answered_in_order(cluster: &Cluster) {
    let (kept, passing) = (topic("a"), topic(PASSING));
    let batch: Vec<_> =
        (0..8).map(|n| (if n % 2 == 0 { kept.clone() } else { passing.clone() }, numbered(n))).collect();
    let answers = cluster.one().try_publish(batch).await;
    let of_kept: Vec<_> = answers.iter().step_by(2).map(|answer| answer.position).collect();
    let stored = cluster.one().all(&kept, of_kept[3]).await;
    assert_eq!(stored.iter().map(|event| event.position()).collect::<Vec<_>>(), of_kept);
    let of_passing: Vec<_> = answers.iter().skip(1).step_by(2).map(|answer| answer.position.offset).collect();
    assert!(of_passing.is_sorted_by(|a, b| a < b), "{of_passing:?}");
}

// 21
async fn a_purge_is_heard_on_every_node(cluster: &Cluster) {
    let a = topic("a");
    let placed = cluster.one().publish_numbers(&a, 0..5).await;
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        let mut listener = node.listen(&a, StartFrom::Start).await;
        assert_eq!(listener.events(5).await.len(), 5);
        listeners.push(listener);
    }
    let head = cluster.other().bus.admin(Admin::Purge(a.clone())).await.expect("the purge succeeds");
    for listener in &mut listeners {
        listener.until(|got| !got.is_empty()).await;
        assert!(matches!(listener.got[..], [Got::Gap(gap)] if gap.reason == GapReason::Epoch), "{:?}", listener.got);
        listener.got.clear();
    }
    for node in &cluster.nodes {
        let position = node.publish(&a, numbered(9)).await.position;
        assert_eq!(position.epoch, head.last.epoch);
    }
    for listener in &mut listeners {
        let seen = listener.events(cluster.nodes.len()).await;
        assert_eq!((seen[0].epoch, seen[0].prev), (head.last.epoch, 0));
    }
    // An old position is of no use on any node.
    for node in &cluster.nodes {
        let gap = node.listener().subscribe(&a, StartFrom::After(placed[2].position)).await.gap;
        assert_eq!(gap.map(|gap| gap.reason), Some(GapReason::Epoch));
    }
}

// 20
async fn truncating_is_seen_on_every_node(cluster: &Cluster) {
    if !cluster.can.truncates {
        return;
    }
    let a = topic("a");
    let placed = cluster.one().publish_numbers(&a, 0..10).await;
    let before = placed[6].position.offset;
    cluster.one().bus.admin(Admin::TruncateBefore(a.clone(), before)).await.expect("it is truncated");
    for node in &cluster.nodes {
        let mut listener = node.listener();
        let gap = listener.subscribe(&a, StartFrom::After(placed[2].position)).await.gap;
        let (from, to) = (placed[2].position.offset + 1, placed[5].position.offset);
        assert_eq!(gap.map(|gap| (gap.from, gap.to, gap.reason)), Some((from, to, GapReason::Trimmed)));
        assert_eq!(listener.events(4).await[0].offset, before);
    }
}

async fn an_internal_log_is_read_on_every_node(cluster: &Cluster) {
    let log = TopicKey::new(Tenant::default(), Topic::internal("revocations"));
    let mut listeners = Vec::new();
    for node in &cluster.nodes {
        node.publish(&log, numbered(0)).await;
        listeners.push(node.listen(&log, StartFrom::Start).await);
    }
    for (listener, node) in listeners.iter_mut().zip(&cluster.nodes) {
        let seen = listener.events(cluster.nodes.len()).await;
        let stored = node.all(&log, seen[seen.len() - 1].position()).await;
        assert!(seen == stored && Arc::clone(&seen[0]).topic == log);
    }
}
