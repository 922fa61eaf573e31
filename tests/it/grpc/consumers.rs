//! Pulling: by position, and as a named consumer that is at-least-once over everything that can go wrong.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fanfare_proto::v1::ack_request::Act;
use fanfare_proto::v1::{AckRequest, CursorsRequest, PullRequest, PullResponse};
use fanfare_tests::grpc::{code_of, with_token};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, PATIENCE, Server, frames, fresh_topic};
use serde_json::{Value, json};
use tonic::Code;

use super::{data, events};

/// Each call on a connection of its own, so that it goes on after a restart.
struct Puller<'a> {
    server: &'a Server,
    topic: String,
    consumer: &'static str,
}

impl Puller<'_> {
    async fn pull(&self, limit: u32, wait_ms: u32, lease_ms: u32) -> PullResponse {
        let request = PullRequest {
            topic: self.topic.clone(),
            consumer: self.consumer.to_owned(),
            limit,
            wait_ms,
            lease_ms,
            ..PullRequest::default()
        };
        let mut client = events(self.server.admin()).await;
        client.pull(with_token(request, &Token::server().mint())).await.expect("a batch").into_inner()
    }

    async fn ack(&self, lease: &str, act: Act) -> Result<String, tonic::Status> {
        let request = AckRequest {
            topic: self.topic.clone(),
            consumer: self.consumer.to_owned(),
            lease: lease.to_owned(),
            act: Some(act),
            retry_after_ms: 0,
        };
        let mut client = events(self.server.admin()).await;
        client.ack(with_token(request, &Token::server().mint())).await.map(|answer| answer.into_inner().position)
    }
}

#[tokio::test]
async fn a_pull_waits_for_the_first_event() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("pull");
    let positions = server.api().publish_numbers(&topic, 1..=3).await;
    let mut client = events(server.admin()).await;
    let ask = |from: &str, wait_ms| {
        let request = PullRequest {
            topic: topic.clone(),
            from: frames::from(&json!(from)),
            wait_ms,
            limit: 10,
            ..PullRequest::default()
        };
        with_token(request, &Token::server().mint())
    };
    let batch = client.pull(ask("start", 0)).await.expect("a batch").into_inner();
    assert_eq!((data(batch.events), &batch.position), (vec![json!(1), json!(2), json!(3)], &positions[2]));
    let none = client.pull(ask(&batch.position, 100)).await.expect("no batch").into_inner();
    assert!(none.events.is_empty() && none.position == batch.position, "{none:?}");

    let begun = Instant::now();
    let api = server.api();
    let (waited, _) = tokio::join!(client.pull(ask(&batch.position, 30_000)), api.publish_numbers(&topic, 4..=4));
    assert_eq!(data(waited.expect("a batch").into_inner().events), [json!(4)]);
    assert!(begun.elapsed() < Duration::from_secs(25), "it came with the event, not with the time");
}

#[tokio::test]
async fn competing_pullers_share_the_work() {
    let server = Server::start(Config::new()).await;
    let puller = Puller { server: &server, topic: fresh_topic("work"), consumer: "mailer" };
    // A consumer begins at the oldest event.
    server.api().publish_numbers(&puller.topic, 1..=100).await;
    let mut seen = BTreeSet::new();
    let mut leases = Vec::new();
    for _ in 0..4 {
        let batch = puller.pull(25, 0, 60_000).await;
        assert!(batch.deliveries.iter().all(|times| *times == 1), "{:?}", batch.deliveries);
        seen.extend(batch.events.iter().map(|event| event.offset));
        leases.push(batch.lease);
    }
    assert_eq!(seen.len(), 100, "leases are disjoint");
    assert!(puller.pull(25, 0, 60_000).await.events.is_empty(), "all is leased");
    // Done out of order: the position is where everything before is done.
    for at in [1, 3, 2] {
        puller.ack(&leases[at], Act::All(true)).await.expect("an open lease");
    }
    let position = puller.ack(&leases[0], Act::All(true)).await.expect("an open lease");
    let offset = position.split('.').nth(1).expect("epoch.offset.tag");
    assert_eq!(offset, "100");
    let refused = puller.ack(&leases[0], Act::All(true)).await.expect_err("a lease is acknowledged once");
    assert!(!code_of(&refused).is_empty());

    let mut client = events(server.admin()).await;
    let request = CursorsRequest { consumer: "mailer".to_owned(), ..CursorsRequest::default() };
    let listed = client.cursors(with_token(request, &Token::server().mint())).await.expect("a list").into_inner();
    assert_eq!((listed.cursors.len(), listed.cursors[0].lag, listed.cursors[0].leased), (1, 0, 0), "{listed:?}");
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_also_after_a_kill() {
    let mut server = Server::start(Config::new().topics("durability = \"committed\"")).await;
    let topic = fresh_topic("work");
    server.api().publish_numbers(&topic, 1..=10).await;
    let acknowledged = {
        let puller = Puller { server: &server, topic: topic.clone(), consumer: "mailer" };
        let batch = puller.pull(10, 0, 10_000).await;
        puller.ack(&batch.lease, Act::UpTo(4)).await.expect("an open lease")
    };
    assert_eq!(acknowledged.split('.').nth(1), Some("4"));
    server.kill();
    server.restart().await;
    let puller = Puller { server: &server, topic: topic.clone(), consumer: "mailer" };
    // The lease of the former life may still last; then its end must be waited for.
    let mut again: Vec<Value> = Vec::new();
    let begun = Instant::now();
    while again.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "nothing comes again");
        again = data(puller.pull(10, 2_000, 1_000).await.events);
    }
    assert_eq!(again, (5..=10).map(|n| json!(n)).collect::<Vec<_>>());
    // A short lease runs out, and its events come again with their count.
    let batch = puller.pull(10, 10_000, 60_000).await;
    assert_eq!(batch.events.len(), 6, "{batch:?}");
    assert!(batch.deliveries.iter().all(|times| *times >= 2), "{:?}", batch.deliveries);
    puller.ack(&batch.lease, Act::Release(true)).await.expect("an open lease");
    let batch = puller.pull(10, 10_000, 60_000).await;
    assert_eq!(batch.events.len(), 6, "released ones come at once");
    puller.ack(&batch.lease, Act::All(true)).await.expect("an open lease");
}

#[tokio::test]
async fn a_consumer_needs_a_servers_credentials() {
    let server = Server::start(Config::new()).await;
    let mut client = events(server.admin()).await;
    let request = PullRequest { topic: fresh_topic("work"), consumer: "mailer".to_owned(), ..PullRequest::default() };
    let refused = client.pull(with_token(request, &Token::client().mint())).await.expect_err("a client's token");
    assert_eq!((refused.code(), code_of(&refused)), (Code::Unauthenticated, "wrong_audience".to_owned()));
}
