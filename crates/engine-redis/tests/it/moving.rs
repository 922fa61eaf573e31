//! A Cluster that gives a slot from one primary to another.

use fanfare_engine_redis::Options;
use fanfare_model::Duration;
use fanfare_test_engines::{Redis, RedisCluster};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use crate::reader::{Node, events, topic};
use crate::support::cluster;

async fn connect(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a valid address");
    client.get_multiplexed_async_connection().await.expect("the server is up")
}

async fn ask<T: FromRedisValue>(server: &Redis, command: &Cmd) -> T {
    command.query_async(&mut connect(server).await).await.expect("the server does it")
}

fn of_cluster(words: &[&str]) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(words);
    command
}

/// The slot in which the only topic lies, and who has it.
async fn home(servers: &RedisCluster) -> (String, &Redis) {
    for server in servers.servers() {
        if server.role().await.as_deref() != Some("master") {
            continue;
        }
        let keys: Vec<Vec<u8>> = ask(server, redis::cmd("KEYS").arg("{fanfare.*}h:*")).await;
        if let Some(key) = keys.first() {
            let slot: u16 = ask(server, redis::cmd("CLUSTER").arg("KEYSLOT").arg(key)).await;
            return (slot.to_string(), server);
        }
    }
    panic!("the topic is nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_while_its_topic_is_published_to_loses_and_doubles_nothing() {
    let servers = RedisCluster::start().await;
    let options = Options { timeout: Duration::from_secs(20), ..cluster(&servers) };
    let (node, other) = (Node::start(&options).await, Node::start(&options).await);
    let a = topic("a");
    let mut listeners = [node.listen(&a).await, other.listen(&a).await];
    node.publish(&a, 1..=20).await;
    let (slot, from) = home(&servers).await;
    let mut masters = Vec::new();
    for server in servers.servers() {
        if server.role().await.as_deref() == Some("master") {
            masters.push(server);
        }
    }
    let to = *masters.iter().find(|master| master.port() != from.port()).expect("there are three");
    let (from_id, to_id): (String, String) =
        (ask(from, &of_cluster(&["MYID"])).await, ask(to, &of_cluster(&["MYID"])).await);

    let publishing = node.publish(&a, 21..=120);
    let moving = async {
        ask::<()>(to, &of_cluster(&["SETSLOT", &slot, "IMPORTING", &from_id])).await;
        ask::<()>(from, &of_cluster(&["SETSLOT", &slot, "MIGRATING", &to_id])).await;
        // Key by key, so that for a while some are here and some there.
        let mut moved = 0;
        loop {
            let keys: Vec<Vec<u8>> = ask(from, &of_cluster(&["GETKEYSINSLOT", &slot, "1"])).await;
            if keys.is_empty() {
                break;
            }
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(to.port()).arg("").arg(0).arg(5000).arg("KEYS").arg(&keys);
            ask::<()>(from, &migrate).await;
            moved += 1;
        }
        assert!(moved > 20, "{moved} keys were moved: head, log, and the id of each event");
        for server in [to, from] {
            ask::<()>(server, &of_cluster(&["SETSLOT", &slot, "NODE", &to_id])).await;
        }
    };
    let (positions, ()) = tokio::join!(publishing, moving);
    assert!(positions.windows(2).all(|pair| pair[0].offset < pair[1].offset && pair[0].epoch == pair[1].epoch));
    for listener in &mut listeners {
        assert_eq!(listener.until_event(120).await, events(1..=120), "each once, in order, and no gap");
    }
    // Its news come from the other server now.
    other.publish(&a, 121..=125).await;
    for listener in &mut listeners {
        assert_eq!(listener.until_event(125).await, events(1..=125));
    }
}
