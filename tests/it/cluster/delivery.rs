//! Events from any node reach readers on every node, in one order; a cursor of one node works on another.

use fanfare_tests::token::Token;
use fanfare_tests::{Cluster, Config, Listen, Listener, Message, Shared, Transport, fresh_topic, seed};
use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::over_every_engine;

fn token() -> String {
    Token::client().user("alice").grant(&["*"], &["subscribe", "publish", "history", "presence"]).mint()
}

/// A reader over each transport on each gateway.
async fn readers(cluster: &Cluster, topic: &str) -> Vec<Listener> {
    let mut readers = Vec::new();
    for gateway in &cluster.gateways {
        for transport in Transport::ALL {
            readers.push(transport.listen(gateway.public(), &Listen::to(topic, token())).await);
        }
    }
    readers
}

/// Backends and clients publish through every node at once; all readers see the same events in the same order.
async fn all_readers_on_all_nodes_see_one_order(shared: Shared) {
    const EACH: u64 = 40;
    let cluster = Cluster::start(shared, Config::new()).await;
    let topic = fresh_topic("order");
    let mut readers = readers(&cluster, &topic).await;

    let mut publishers = JoinSet::new();
    for publisher in 0..3_u64 {
        let (api, topic) = (cluster.api.api(), topic.clone());
        publishers.spawn(async move {
            for n in 0..EACH {
                api.publish(&topic, Message::json(json!([publisher, n]))).await;
            }
        });
    }
    for (gateway, publisher) in cluster.gateways.iter().zip(3_u64..) {
        let (to, topic) = (gateway.public(), topic.clone());
        publishers.spawn(async move {
            let mut client = fanfare_tests::ws::connect(to, &token()).await;
            for n in 0..EACH {
                let publish = json!({"publish": {"topic": topic, "data": [publisher, n]}});
                let reply = client.request(publish).await;
                assert!(reply.get("error").is_none(), "{reply}");
            }
        });
    }
    publishers.join_all().await;

    let count = usize::try_from(5 * EACH).expect("a small number");
    let seen = join_all(readers.iter_mut().map(|reader| reader.take(count))).await;
    let (first, _) = &seen[0];
    for (reader, (data, _)) in seen.iter().enumerate() {
        assert_eq!(data, first, "{shared}: reader {reader} saw another order");
    }
    for publisher in 0..5 {
        let of: Vec<u64> =
            first.iter().filter(|data| data[0] == publisher).filter_map(|data| data[1].as_u64()).collect();
        assert!(
            of.into_iter().eq(0..EACH),
            "{shared}: the events of publisher {publisher} come in its order, once each"
        );
    }
}

/// A client goes from gateway to gateway and from transport to transport with its position, and misses nothing.
async fn a_position_of_one_node_works_on_another(shared: Shared) {
    let seed = seed("a_position_of_one_node_works_on_another");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let cluster = Cluster::start(shared, Config::new()).await;
    let (topic, api) = (fresh_topic("moving"), cluster.api.api());
    let mut position = "start".to_owned();
    let mut next = 1;
    for round in 0..10 {
        let more = random.random_range(1..=5);
        api.publish_numbers(&topic, next..=next + more - 1).await;
        let transport = Transport::ALL[random.random_range(0..Transport::ALL.len())];
        let gateway = &cluster.gateways[round % cluster.gateways.len()];
        let mut reader = transport.listen(gateway.public(), &Listen::to(&topic, token()).from(position)).await;
        let (data, at) = reader.take(usize::try_from(more).expect("a small number")).await;
        assert_eq!(data, (next..next + more).map(Value::from).collect::<Vec<_>>(), "{shared}, {transport}");
        (position, next) = (at, next + more);
    }
}

/// An event is stored once, whichever nodes it is published through.
async fn the_same_event_through_two_nodes_is_one(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new()).await;
    let topic = fresh_topic("twice");
    let mut readers = readers(&cluster, &topic).await;
    let first = cluster.api.api().publish(&topic, Message::text("once").with("id", "e1")).await;
    let mut client = fanfare_tests::ws::connect(cluster.gateways[1].public(), &token()).await;
    let publish = json!({"publish": {"topic": topic, "event_id": "e1", "data": "once"}});
    let again = client.request(publish).await;
    assert_eq!(again["published"]["position"], first["position"], "{shared}: {again} {first}");
    cluster.api.api().publish_text(&topic, "after").await;
    for reader in &mut readers {
        assert_eq!(reader.take(2).await.0, ["once", "after"], "{shared}");
    }
}

/// Topics that keep nothing are carried between nodes too, in one order.
async fn what_is_not_kept_is_carried_as_well(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new().kind("passing", "history = \"none\"")).await;
    let topic = fresh_topic("passing");
    let mut readers = readers(&cluster, &topic).await;
    cluster.api.api().publish_numbers(&topic, 1..=50).await;
    for reader in &mut readers {
        assert_eq!(reader.take(50).await.0, (1..=50).map(Value::from).collect::<Vec<_>>(), "{shared}");
    }
}

/// Workers that pull through different nodes share the events of one consumer.
async fn a_consumers_work_is_shared_by_nodes(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new()).await;
    let topic = fresh_topic("work");
    let second = cluster.add_api().await;
    cluster.api.api().publish_numbers(&topic, 1..=60).await;
    let path = format!("/v1/topics/{}", fanfare_tests::percent_encode(&topic));
    let mut done = Vec::new();
    let apis = [cluster.api.api(), second.api()];
    for turn in 0.. {
        let api = &apis[turn % apis.len()];
        let ask = json!({"consumer": "billing", "limit": 7, "lease_ms": 30_000, "wait_ms": 0});
        let pulled = api.post(&format!("{path}/pull"), &ask).await.ok();
        if pulled["lease"].is_null() {
            break;
        }
        let events = pulled["events"].as_array().expect("events");
        done.extend(events.iter().map(|event| event["data"].as_u64().expect("a number")));
        let ack = json!({"consumer": "billing", "lease": pulled["lease"], "all": true});
        // The other node acknowledges: leases belong to nobody's memory.
        apis[(turn + 1) % apis.len()].post(&format!("{path}/ack"), &ack).await.ok();
    }
    assert_eq!(done, (1..=60).collect::<Vec<_>>(), "{shared}");
}

over_every_engine!(
    all_readers_on_all_nodes_see_one_order,
    a_position_of_one_node_works_on_another,
    the_same_event_through_two_nodes_is_one,
    what_is_not_kept_is_carried_as_well,
    a_consumers_work_is_shared_by_nodes,
);
