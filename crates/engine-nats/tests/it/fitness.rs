//! Servers that cannot be used, and configurations that change.

use std::sync::Arc;

use fanfare_engine_nats::{Engine, Error, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, Duration, StartFrom, SystemClock};
use fanfare_test_engines::{Nats, NatsCluster};

use crate::node::{Node, events, topic};
use crate::support::{engine, options};

async fn refusal(options: &Options) -> Error {
    let connected = Engine::connect(options, Arc::new(SystemClock), &Lifecycle::new()).await;
    connected.map(drop).expect_err("it cannot be used")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_with_the_fix() {
    let server = Nats::start().await;
    let here = options(vec![server.url()], "fit");
    let error = refusal(&Options { prefix: "a b".to_owned(), ..here.clone() }).await.to_string();
    assert!(error.contains("engine.nats.prefix"), "{error}");
    let error = refusal(&Options { urls: vec!["not an address".to_owned()], ..here.clone() }).await.to_string();
    assert!(error.contains("engine.nats.urls"), "{error}");
    // One server cannot keep three copies.
    let three = engine(Options { replicas: 3, ..here.clone() }).await;
    let error = three.leases().await.map(drop).expect_err("there is one server").to_string();
    assert!(error.contains("engine.nats.replicas = 3"), "{error}");
    server.kill();
    let gone = Options { timeout: Duration::from_millis(500), ..here };
    let error = refusal(&gone).await;
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

/// A stream cannot be placed while a server is away that is to have it: a node that starts meanwhile waits for the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_waits_for_a_server_that_is_away() {
    let servers = NatsCluster::start().await;
    let away = servers.servers().last().expect("there are three");
    away.stop().await;
    let there = || servers.servers().iter().filter(|server| server.is_up());
    // A stream is placed on a server that others saw before. These have not seen it.
    for server in there() {
        server.restart().await;
    }
    let urls = there().map(Nats::url).collect();
    let engine = engine(Options { replicas: 3, timeout: Duration::from_secs(60), ..options(urls, "away") }).await;
    let mut leases = engine.leases();
    let early = tokio::time::timeout(std::time::Duration::from_secs(1), &mut leases).await;
    assert!(early.is_err(), "two servers are there and three needed: {:?}", early.map(|leases| leases.map(drop)));
    let (leases, ()) = futures_util::future::join(leases, away.restart()).await;
    leases.expect("the stream is placed when the third server is back");
}

/// While no server answers a publish fails in time, and does not hang; afterwards all is well.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_said_to_be_unavailable_in_time() {
    let server = Nats::start().await;
    let quick = Options { timeout: Duration::from_secs(3), ..options(vec![server.url()], "quick") };
    let node = Node::start(&quick).await;
    let a = topic("a");
    let mut listener = node.listen(&a, StartFrom::Start).await;
    node.publish(&a, 1).await;
    server.pause();
    let refused = tokio::time::timeout(std::time::Duration::from_secs(20), node.refused(&a, 2)).await;
    refused.expect("it fails in time");
    server.resume();
    // Under the same id: stored once, whatever became of the first.
    node.publish(&a, 2).await;
    node.publish(&a, 3).await;
    assert_eq!(listener.until_event(3).await, events(1..=3));
}

/// What is kept follows the configuration, and what is there stays what it was.
#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_the_configuration() {
    let server = Nats::start().await;
    let place = options(vec![server.url()], "limits");
    let a = topic("few:a");
    let many = Node::start_keeping(&place, 10).await;
    let placed = many.publish_all(&a, 1..=20).await;
    let head = many.heads(vec![a.clone()]).await[0];
    assert_eq!((head.first, head.last, head.events), (placed[10].offset, placed[19], 10));
    drop(many);
    let few = Node::start_keeping(&place, 3).await;
    let head = few.heads(vec![a.clone()]).await[0];
    assert_eq!((head.first, head.last, head.events), (placed[17].offset, placed[19], 3));
    drop(few);
    let again = Node::start_keeping(&place, 10).await;
    again.publish(&a, 21).await;
    let mut listener = again.listen(&a, StartFrom::Start).await;
    // The event before the first was kept to prove what follows it, and is read again now.
    assert_eq!(listener.until_event(21).await, events(17..=21));
}

/// A batch is stored in its order, however large it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_keeps_its_order() {
    let server = Nats::start().await;
    let node = Node::start(&options(vec![server.url()], "batch")).await;
    let a = topic("a");
    let batch = (0..1000).map(|n| (a.topic.clone(), Draft::new(Data::text(n.to_string())))).collect();
    let answers = node.bus.publish(&a.tenant, batch).await.expect("the events are valid");
    let places: Vec<u64> = answers.into_iter().map(|answer| answer.expect("it is stored").position.offset).collect();
    assert_eq!(places, (1..=1000).collect::<Vec<u64>>());
}
