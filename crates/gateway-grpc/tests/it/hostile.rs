//! Requests that are not as they should be.

use std::time::Duration;

use bytes::Bytes;
use fanfare_gateway_grpc::Options;
use fanfare_model::ByteSize;
use fanfare_proto::v1::{self, PublishRequest, SubscribeRequest};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::support::{Choices, Frames, item, node, refused, text, topics, with_token};
use crate::web::{Answer, Call};

/// A message with the prefix of gRPC.
pub(crate) fn framed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[compressed], &length.to_be_bytes()[..], message].concat()
}

fn status(answer: &Answer) -> (Option<u16>, u16) {
    (answer.grpc_status(), answer.status)
}

#[tokio::test]
async fn what_is_no_request_of_grpc_is_told_in_terms_of_http() {
    let test = node(Choices::default()).await;
    let publish = Call::new("/fanfare.v1.Events/Publish", &test.server());
    assert_eq!(
        publish.clone().header("content-type", "application/json").send(&test, b"{}".to_vec()).await.status,
        415
    );
    assert_eq!(publish.clone().method("GET").send(&test, Vec::new()).await.status, 405);
    for path in ["/fanfare.v1.Session/Open", "/fanfare.v1.Events/Subscribe", "/fanfare.v1.Events/PublishStream"] {
        let call = Call::new(path, &test.server()).header("content-type", "text/plain");
        assert_eq!(call.send(&test, Vec::new()).await.status, 415, "{path}");
    }
    let unknown = Call::new("/fanfare.v1.Events/Nothing", &test.server()).send(&test, framed(0, b"")).await;
    assert_eq!(status(&unknown), (Some(12), 200), "UNIMPLEMENTED");
}

#[tokio::test]
async fn messages_that_are_none_are_the_callers_fault() {
    let test = node(Choices::default()).await;
    for path in ["/fanfare.v1.Events/Publish", "/fanfare.v1.Events/Subscribe", "/fanfare.v1.Topics/Get"] {
        let call = Call::new(path, &test.server());
        for body in [framed(0, b"\xff\xff\xff"), Vec::new()] {
            let answer = call.clone().send(&test, body).await;
            assert_eq!(status(&answer), (Some(3), 200), "INVALID_ARGUMENT from {path}: {answer:?}");
            assert!(answer.header("grpc-status-details-bin").is_some());
        }
        let compressed = call.clone().header("grpc-encoding", "snappy").send(&test, framed(1, b"x")).await;
        assert_eq!(status(&compressed), (Some(12), 200), "UNIMPLEMENTED from {path}");
        assert!(compressed.header("grpc-accept-encoding").is_some());
        let late = call.clone().header("grpc-timeout", "soon").send(&test, framed(0, b"")).await;
        assert_eq!(status(&late), (Some(3), 200), "{path}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_compressed_or_not() {
    let grpc = Options { message_bytes_max: ByteSize::kib(64), ..Options::default() };
    let test = node(Choices { grpc, ..Choices::default() }).await;
    let request = || PublishRequest { items: vec![item("a", text(&"x".repeat(100_000)))], ..PublishRequest::default() };
    let mut events = test.events().await;
    refused(events.publish(with_token(request(), &test.server())).await, Code::OutOfRange, "too_large");
    let mut events = test.events().await.send_compressed(CompressionEncoding::Gzip);
    refused(events.publish(with_token(request(), &test.server())).await, Code::OutOfRange, "too_large");
    let small = PublishRequest { items: vec![item("a", text(&"x".repeat(50_000)))], ..PublishRequest::default() };
    events.publish(with_token(small, &test.server())).await.unwrap();

    let names = vec![v1::TopicFrom { topic: "x".repeat(300), from: None }; 300];
    let request = SubscribeRequest { topics: names, ..SubscribeRequest::default() };
    let done = test.events().await.subscribe(with_token(request, &test.server())).await;
    assert_eq!(done.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_session_that_sends_too_much_at_once_is_over() {
    let grpc = Options { message_bytes_max: ByteSize::kib(4), ..Options::default() };
    let test = node(Choices { grpc, ..Choices::default() }).await;
    let mut alice: Frames = test.connect("alice").await;
    let publish = v1::Publish { topic: "chat:1".to_owned(), message: Some(text(&"x".repeat(5000))) };
    alice.send(1, Some(v1::client_frame::Command::Publish(publish))).await;
    let (verdict, status) = alice.end().await;
    assert_eq!((verdict.unwrap().code, status.code()), (4006, Code::OutOfRange));
}

#[tokio::test]
async fn credentials_are_one_bearer() {
    let test = node(Choices::default()).await;
    let body = || framed(0, &topics(&["chat:1"], "now").encode_to_vec());
    for value in ["Basic YTpi", "Bearer", "x"] {
        let call = Call::new("/fanfare.v1.Events/Subscribe", "").header("authorization", value);
        assert_eq!(call.send(&test, body()).await.grpc_status(), Some(16), "UNAUTHENTICATED for {value:?}");
    }
}

#[tokio::test]
async fn a_call_ends_with_its_deadline() {
    let test = node(Choices::default()).await;
    let wait = v1::PullRequest { topic: "a".to_owned(), wait_ms: 20_000, ..v1::PullRequest::default() };
    let call = Call::new("/fanfare.v1.Events/Pull", &test.server()).header("grpc-timeout", "200m");
    let begun = std::time::Instant::now();
    let answer = call.send(&test, framed(0, &wait.encode_to_vec())).await;
    assert_eq!(answer.grpc_status(), Some(4), "DEADLINE_EXCEEDED: {answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!answer.body.starts_with(&Bytes::from_static(b"x")));
}
