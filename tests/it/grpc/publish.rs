//! Publishing, one batch or a stream of them.

use fanfare_proto::v1::{PublishRequest, publish_result::Result as Outcome};
use fanfare_tests::grpc::{code_of, with_token};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Server, fresh_topic, within};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{events, item};

fn token() -> String {
    Token::server().mint()
}

#[tokio::test]
async fn a_batch_lands_in_order_and_once() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("grpc");
    let mut client = events(server.admin()).await;
    let mut items: Vec<_> = (1..=100).map(|n| item(&topic, n)).collect();
    items[0].message.as_mut().expect("a message").event_id = "first".to_owned();
    let request = PublishRequest { items, id: 0 };
    for again in [false, true] {
        let answer = client.publish(with_token(request.clone(), &token())).await.expect("published").into_inner();
        let Some(Outcome::Published(first)) = &answer.results[0].result else { panic!("{answer:?}") };
        assert_eq!((first.offset, first.duplicate), (1, again));
        assert_eq!(answer.results.len(), 100);
    }
    let log = server.api().log_of(&topic).await;
    assert_eq!(log.len(), 199, "the one with an id of its own is stored once");
}

#[tokio::test]
async fn a_batch_with_a_bad_item_publishes_nothing_and_says_which() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("grpc");
    let mut client = events(server.admin()).await;
    let request = PublishRequest { items: vec![item(&topic, 1), item("no such topic", 2)], id: 0 };
    let refused = client.publish(with_token(request, &token())).await.expect_err("the second topic has a space");
    assert_eq!((refused.code(), code_of(&refused)), (Code::InvalidArgument, "invalid_request".to_owned()));
    assert!(refused.message().contains("topic"), "{refused}");
    assert!(server.api().log_of(&topic).await.is_empty());
}

#[tokio::test]
async fn a_stream_is_answered_in_order_and_a_bad_request_does_not_end_it() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("grpc");
    let mut client = events(server.admin()).await;
    let (requests, inbox) = mpsc::channel(16);
    let stream = client.publish_stream(with_token(ReceiverStream::new(inbox), &token())).await;
    let mut answers = stream.expect("a stream").into_inner();
    let sending = async {
        for id in 1..=500 {
            let topic = if id == 250 { "no such topic" } else { &topic };
            requests.send(PublishRequest { items: vec![item(topic, id)], id }).await.expect("the stream is open");
        }
        drop(requests);
    };
    let hearing = async {
        for id in 1..=500 {
            let answer = within("an answer", answers.message()).await.expect("the stream is open").expect("an answer");
            assert_eq!(answer.id, id, "answers come in order");
            assert_eq!(answer.error.is_some(), id == 250, "{answer:?}");
        }
        assert!(within("the end", answers.message()).await.expect("a clean end").is_none());
    };
    tokio::join!(sending, hearing);
    let log = server.api().log_of(&topic).await;
    let expected: Vec<_> = (1..=500).filter(|n| *n != 250).map(|n| json!(n)).collect();
    assert_eq!(log.iter().map(|event| event["data"].clone()).collect::<Vec<_>>(), expected);
}
