//! `Events.Publish` and `Events.PublishStream`.

use std::time::Duration;

use fanfare_auth::{Action, Door};
use fanfare_gateway_grpc::Options;
use fanfare_model::{Tenant, Topic};
use fanfare_proto::v1::publish_result::Result as Published;
use fanfare_proto::v1::{self, PublishRequest, message};
use fanfare_session::Query;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::support::{Choices, PATIENCE, TestNode, item, json, node, refused, text, topics, with_token};

fn one(topic: &str, message: v1::Message) -> PublishRequest {
    PublishRequest { items: vec![item(topic, message)], ..PublishRequest::default() }
}

fn published(result: &v1::PublishResult) -> &v1::Published {
    match result.result.as_ref() {
        Some(Published::Published(published)) => published,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_and_arrives_as_it_was() {
    let test = node(Choices::default()).await;
    let mut frames = test.subscribe(&test.token("alice"), topics(&["chat:1"], "now")).await.unwrap();
    let full = v1::Message {
        name: "paid".to_owned(),
        data: Some(message::Data::Json(json(r#"{"total":12.5}"#))),
        event_id: "order-42".to_owned(),
        key: "42".to_owned(),
        occurred_at: Some(1_763_719_200_123_456),
        headers: [("a".to_owned(), "b".to_owned())].into(),
        schema: "order.v1".to_owned(),
        source: "shop".to_owned(),
    };
    let binary = v1::Message { data: Some(message::Data::Binary(json("\u{0}ÿ"))), ..v1::Message::default() };
    let items = vec![item("chat:1", full.clone()), item("chat:1", text("grüße")), item("chat:1", binary)];
    let mut events = test.events().await;
    let mut request = with_token(PublishRequest { items, id: 5 }, &test.server());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let response = events.publish(request).await.unwrap().into_inner();
    assert_eq!((response.id, response.error), (5, None));
    let offsets: Vec<_> = response.results.iter().map(|result| published(result).offset).collect();
    assert_eq!(offsets, [1, 2, 3]);

    let first = frames.event().await;
    let headers = [("a", "b"), ("traceparent", parent)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let expected = v1::Event {
        topic: "chat:1".to_owned(),
        position: published(&response.results[0]).position.clone(),
        offset: 1,
        id: "order-42".to_owned(),
        name: "paid".to_owned(),
        time: first.time,
        data: Some(v1::event::Data::Json(json(r#"{"total":12.5}"#))),
        occurred_at: full.occurred_at,
        user: String::new(),
        source: "shop".to_owned(),
        key: "42".to_owned(),
        headers: headers.into(),
        schema: "order.v1".to_owned(),
    };
    assert_eq!(first, expected);
    let second = frames.event().await;
    assert_eq!((second.data, second.source.as_str()), (Some(v1::event::Data::Text("grüße".to_owned())), "grpc"));
    assert_eq!(frames.event().await.data, Some(v1::event::Data::Binary(json("\u{0}ÿ"))));

    let again = events.publish(with_token(one("chat:1", full), &test.server())).await.unwrap().into_inner();
    let again = published(&again.results[0]);
    assert!(again.duplicate && again.offset == 1);
}

#[tokio::test]
async fn a_batch_with_one_bad_item_is_refused_as_a_whole() {
    let test = node(Choices { grpc: Options { batch_max: 3, ..Options::default() }, ..Choices::default() }).await;
    let mut events = test.events().await;
    let server = test.server();
    let no_data = v1::Message::default();
    let bad_json = v1::Message { data: Some(message::Data::Json(json("{"))), ..v1::Message::default() };
    let reserved = v1::Message { name: "fanfare.x".to_owned(), ..text("x") };
    for (items, code, reason, field) in [
        (vec![], Code::InvalidArgument, "invalid_request", "items"),
        (
            vec![item("a", text("x")), item("a b", text("x"))],
            Code::InvalidArgument,
            "invalid_request",
            "items[1].topic",
        ),
        (vec![item("a", no_data)], Code::InvalidArgument, "invalid_request", "items[0].message"),
        (vec![item("a", bad_json)], Code::InvalidArgument, "invalid_request", "items[0].message"),
        (vec![item("a", reserved)], Code::InvalidArgument, "invalid_request", "items[0].message"),
        (vec![item("a", text("x")); 4], Code::OutOfRange, "batch_too_large", "items"),
        (
            vec![item("a", text("x")), item("small:1", text(&"x".repeat(2000)))],
            Code::OutOfRange,
            "too_large",
            "items[1].message",
        ),
    ] {
        let request = PublishRequest { items, ..PublishRequest::default() };
        let details = refused(events.publish(with_token(request, &server)).await, code, reason);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    let head = test.node.bus.heads(vec![fanfare_model::TopicKey::new(Tenant::default(), Topic::new("a").unwrap())]);
    assert_eq!(head.await.unwrap()[0].last.offset, 0, "nothing of any batch was published");
}

#[tokio::test]
async fn only_backends_with_the_grant_publish() {
    let test = node(Choices::default()).await;
    let mut events = test.events().await;
    let request = || one("chat:1", text("x"));
    refused(events.publish(request()).await, Code::Unauthenticated, "missing_credential");
    refused(events.publish(with_token(request(), &test.token("alice"))).await, Code::Unauthenticated, "wrong_audience");
    let reader = test.token_for(Door::Server, None, &["*"], &[Action::History]);
    let details =
        refused(events.publish(with_token(request(), &reader)).await, Code::PermissionDenied, "permission_denied");
    assert_eq!(details.resource_info().unwrap().resource_name, "chat:1");
}

#[tokio::test]
async fn a_tenant_that_publishes_too_fast_is_told_when_to_go_on() {
    let limits = serde_json::from_str(r#"{"tenant":{"publishes_per_second":1,"publishes_burst":30}}"#).unwrap();
    let test = node(Choices { limits, ..Choices::default() }).await;
    let mut events = test.events().await;
    let batch = || PublishRequest { items: vec![item("a", text("x")); 30], ..PublishRequest::default() };
    events.publish(with_token(batch(), &test.server())).await.unwrap();
    let details =
        refused(events.publish(with_token(batch(), &test.server())).await, Code::ResourceExhausted, "rate_limited");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");
}

async fn stream(test: &TestNode) -> (mpsc::Sender<PublishRequest>, Streaming<v1::PublishResponse>) {
    let (requests, inbox) = mpsc::channel(1000);
    let request = with_token(ReceiverStream::new(inbox), &test.server());
    (requests, test.events().await.publish_stream(request).await.unwrap().into_inner())
}

async fn answer(answers: &mut Streaming<v1::PublishResponse>) -> v1::PublishResponse {
    tokio::time::timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn a_stream_is_answered_in_its_order_and_a_refusal_does_not_end_it() {
    let test = node(Choices::default()).await;
    let mut frames = test.subscribe(&test.token("alice"), topics(&["chat:1"], "now")).await.unwrap();
    let (requests, mut answers) = stream(&test).await;
    for id in 1..=500 {
        let topic = if id == 250 { "not a topic" } else { "chat:1" };
        let message = v1::Message { event_id: format!("e{id}"), ..text("x") };
        requests.send(PublishRequest { id, ..one(topic, message) }).await.unwrap();
    }
    drop(requests);
    for id in 1..=500 {
        let answer = answer(&mut answers).await;
        assert_eq!(answer.id, id);
        if id == 250 {
            let error = answer.error.unwrap();
            assert_eq!((error.code.as_str(), error.retryable, answer.results.len()), ("invalid_request", false, 0));
        } else {
            let place = if id < 250 { id } else { id - 1 };
            assert_eq!(published(&answer.results[0]).offset, place, "in the order of the requests");
        }
    }
    assert!(answers.message().await.unwrap().is_none(), "the stream ends when everything is answered");
    assert_eq!(frames.ids(499).await.last().unwrap(), "e500");
}

#[tokio::test]
async fn a_stream_is_a_session_that_answers_what_it_has_read_before_it_is_sent_away() {
    let test = node(Choices::default()).await;
    let (requests, mut answers) = stream(&test).await;
    requests.send(one("chat:1", text("x"))).await.unwrap();
    answer(&mut answers).await;
    let query = Query { tenant: Tenant::default(), user: None, after: None, limit: 9 };
    let page = test.node.sessions.list(&query);
    assert_eq!(page.sessions[0].protocol.as_str(), "grpc");
    test.node.life.drain();
    let ended = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap();
    refused(ended, Code::Unavailable, "draining");
    drop(answers);
    test.sessions_are(0).await;
}

#[tokio::test]
async fn one_that_takes_no_answers_is_not_read() {
    /// Far more, of requests and of answers, than every buffer between here and there holds.
    const REQUESTS: u64 = 30_000;
    let padding = "x".repeat(200);
    let test = node(Choices::default()).await;
    let (requests, mut answers) = stream(&test).await;
    let sending = async {
        for id in 1..=REQUESTS {
            requests.send(PublishRequest { id, ..one("chat:1", text(&padding)) }).await.unwrap();
        }
    };
    tokio::pin!(sending);
    let blocked = tokio::time::timeout(Duration::from_secs(1), &mut sending).await;
    assert!(blocked.is_err(), "nobody takes the answers");
    let reading = async {
        for id in 1..=REQUESTS {
            assert_eq!(answer(&mut answers).await.id, id);
        }
    };
    let done = async { tokio::join!(sending, reading) };
    tokio::time::timeout(6 * PATIENCE, done).await.unwrap();
}
