//! `Events.Pull`, `Ack`, `Cursors` and `Seek`.

use std::time::{Duration, Instant};

use fanfare_auth::{Action, Door};
use fanfare_proto::v1::ack_request::Act;
use fanfare_proto::v1::{self, AckRequest, CursorsRequest, PullRequest, PullResponse, SeekRequest, seek_request};
use tonic::Code;

use crate::support::{Choices, TestNode, from, node, numbers, refused, strings, with_token};

async fn pull(test: &TestNode, request: PullRequest) -> PullResponse {
    test.events().await.pull(with_token(request, &test.server())).await.unwrap().into_inner()
}

fn of(topic: &str) -> PullRequest {
    PullRequest { topic: topic.to_owned(), ..PullRequest::default() }
}

fn ids(response: &PullResponse) -> Vec<&str> {
    response.events.iter().map(|event| event.id.as_str()).collect()
}

#[tokio::test]
async fn whoever_keeps_its_own_place_pulls_batch_by_batch() {
    let test = node(Choices::default()).await;
    test.publish("orders", numbers(0..250)).await;
    let mut begin = from("start");
    let mut all = Vec::new();
    for (count, more) in [(100, true), (100, true), (50, false)] {
        let response = pull(&test, PullRequest { from: begin, ..of("orders") }).await;
        assert_eq!((response.events.len(), response.more, response.lease.as_str()), (count, more, ""));
        all.extend(ids(&response).into_iter().map(str::to_owned));
        begin = from(&response.position);
    }
    assert_eq!(all, numbers(0..250).collect::<Vec<_>>());
    let nothing = pull(&test, PullRequest { from: begin.clone(), ..of("orders") }).await;
    assert!(nothing.events.is_empty() && nothing.gap.is_none() && from(&nothing.position) == begin);
    let after = pull(&test, PullRequest { after: Some(247), limit: 2, ..of("orders") }).await;
    assert_eq!((ids(&after), after.more), (vec!["247", "248"], true));
}

#[tokio::test]
async fn a_pull_waits_for_the_first_event_and_no_longer() {
    let test = node(Choices::default()).await;
    let begun = Instant::now();
    let empty = pull(&test, PullRequest { wait_ms: 200, ..of("orders") }).await;
    assert!(empty.events.is_empty() && begun.elapsed() >= Duration::from_millis(200));
    let waiting = pull(&test, PullRequest { wait_ms: 10_000, from: from(&empty.position), ..of("orders") });
    let publishing = test.publish("orders", strings(&["a"]));
    let (response, ()) = tokio::join!(waiting, publishing);
    assert_eq!(ids(&response), ["a"]);
    let begun = Instant::now();
    let waiting = pull(&test, PullRequest { wait_ms: 20_000, ..of("orders") });
    let stopping = async {
        while test.node.life.tasks() == 0 {
            tokio::task::yield_now().await;
        }
        test.node.life.drain();
    };
    let (response, ()) = tokio::join!(waiting, stopping);
    assert!(response.events.is_empty() && begun.elapsed() < Duration::from_secs(10), "a node that stops does not wait");
}

#[tokio::test]
async fn what_is_gone_is_told_and_the_rest_comes() {
    let test = node(Choices::default()).await;
    test.publish("few:1", numbers(0..1)).await;
    let first = pull(&test, PullRequest { from: from("start"), ..of("few:1") }).await;
    test.publish("few:1", numbers(1..8)).await;
    let response = pull(&test, PullRequest { from: from(&first.position), ..of("few:1") }).await;
    let gap = response.gap.clone().unwrap();
    assert_eq!((gap.from, gap.to, gap.reason.as_str()), (2, 5, "trimmed"));
    assert_eq!(ids(&response), ["5", "6", "7"]);
}

async fn lease(test: &TestNode, limit: u32) -> PullResponse {
    let request = PullRequest { consumer: "billing".to_owned(), limit, lease_ms: 60_000, ..of("orders") };
    pull(test, request).await
}

async fn ack(test: &TestNode, lease: &str, act: Act) -> Result<v1::AckResponse, tonic::Status> {
    let request = AckRequest {
        topic: "orders".to_owned(),
        consumer: "billing".to_owned(),
        lease: lease.to_owned(),
        act: Some(act),
        retry_after_ms: 0,
    };
    Ok(test.events().await.ack(with_token(request, &test.server())).await?.into_inner())
}

#[tokio::test]
async fn a_consumer_gives_each_event_out_until_it_is_done_with() {
    let test = node(Choices::default()).await;
    test.publish("orders", numbers(0..5)).await;
    let seek = |to| SeekRequest { topic: "orders".to_owned(), consumer: "billing".to_owned(), to: Some(to) };
    let start = seek(seek_request::To::From(from("start").unwrap()));
    test.events().await.seek(with_token(start, &test.server())).await.unwrap();

    let first = lease(&test, 2).await;
    let second = lease(&test, 2).await;
    assert_eq!((ids(&first), ids(&second)), (vec!["0", "1"], vec!["2", "3"]), "callers share the work");
    assert_eq!(first.deliveries, [1, 1]);
    ack(&test, &first.lease, Act::Release(true)).await.unwrap();
    let again = lease(&test, 2).await;
    assert_eq!((ids(&again), &again.deliveries), (vec!["0", "1"], &vec![2, 2]), "given out again");
    ack(&test, &again.lease, Act::All(true)).await.unwrap();
    let done = ack(&test, &second.lease, Act::UpTo(3)).await.unwrap();
    assert_eq!(done.position.split('.').nth(1), Some("3"));
    refused(ack(&test, &again.lease, Act::All(true)).await, Code::FailedPrecondition, "conflict");
    refused(ack(&test, "x", Act::All(true)).await, Code::InvalidArgument, "invalid_request");
    refused(ack(&test, &second.lease, Act::All(false)).await, Code::InvalidArgument, "invalid_request");
    ack(&test, &second.lease, Act::ExtendMs(1000)).await.unwrap();

    let mut events = test.events().await;
    let listed = events.cursors(with_token(CursorsRequest::default(), &test.server())).await.unwrap().into_inner();
    let cursor = &listed.cursors[0];
    assert_eq!((cursor.consumer.as_str(), cursor.topic.as_str()), ("billing", "orders"));
    assert_eq!((cursor.lag, cursor.leased, cursor.waiting, listed.next.as_str()), (2, 1, 0, ""));

    events.seek(with_token(seek(seek_request::To::Forget(true)), &test.server())).await.unwrap();
    let done = events.seek(with_token(seek(seek_request::To::Forget(true)), &test.server())).await;
    refused(done, Code::NotFound, "not_found");
}

#[tokio::test]
async fn consumers_are_for_those_who_may_read_the_past() {
    let test = node(Choices::default()).await;
    let mut events = test.events().await;
    let listener = test.token_for(Door::Server, None, &["*"], &[Action::Subscribe]);
    let request = PullRequest { consumer: "billing".to_owned(), ..of("orders") };
    let done = events.pull(with_token(request.clone(), &listener)).await;
    refused(done, Code::PermissionDenied, "permission_denied");
    refused(events.pull(with_token(of("orders"), &test.token("alice"))).await, Code::Unauthenticated, "wrong_audience");
    let both = PullRequest { from: from("start"), ..request };
    refused(events.pull(with_token(both, &test.server())).await, Code::InvalidArgument, "invalid_request");
    let passing = PullRequest { consumer: "billing".to_owned(), ..of("passing:1") };
    refused(events.pull(with_token(passing, &test.server())).await, Code::InvalidArgument, "invalid_request");
    let unseen = events.cursors(with_token(CursorsRequest::default(), &listener)).await.unwrap().into_inner();
    assert!(unseen.cursors.is_empty());
}
