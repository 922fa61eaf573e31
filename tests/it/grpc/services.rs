//! Administration, health and reflection; deadlines and sizes; the end of a connection.

use std::time::Duration;

use fanfare_proto::v1::presence_client::PresenceClient;
use fanfare_proto::v1::sessions_client::SessionsClient;
use fanfare_proto::v1::tokens_client::TokensClient;
use fanfare_proto::v1::topics_client::TopicsClient;
use fanfare_proto::v1::{
    ListSessionsRequest, ListTopicsRequest, MembersRequest, PullRequest, RevokeRequest, SessionsSelector,
    SubscribeSessionsRequest, TopicFrom, TopicsOfRequest, revoke_request, sessions_selector,
};
use fanfare_tests::grpc::{Frames, channel, with_token};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Heard, Listen, PATIENCE, Server, Transport, frames, fresh_topic};
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{events, item};

fn token() -> String {
    Token::server().mint()
}

async fn admin(server: &Server) -> Channel {
    channel(server.admin()).await
}

#[tokio::test]
async fn topics_presence_sessions_and_tokens_as_over_http() {
    let server = Server::start(Config::new().kind("room", "presence = true")).await;
    let topic = fresh_topic("room");
    server.api().publish_numbers(&topic, 1..=3).await;
    let client = Token::client().user("alice").grant(&["*"], &["subscribe", "history", "presence"]).mint();
    let mut alice = Transport::GrpcSession.listen(server.public(), &Listen::to(&topic, client)).await;
    alice.request(json!({"presence": {"topic": topic, "enter": {"n": 1}}})).await.expect("she may");

    let mut topics = TopicsClient::new(admin(&server).await);
    let request = ListTopicsRequest { prefix: topic.clone(), ..ListTopicsRequest::default() };
    let listed = topics.list(with_token(request, &token())).await.expect("a list").into_inner();
    assert_eq!(
        listed.topics.iter().map(|t| t.topic.as_str()).collect::<Vec<_>>(),
        [&topic],
        "companions are not listed"
    );

    let mut presence = PresenceClient::new(admin(&server).await);
    let request = MembersRequest { topic: topic.clone(), ..MembersRequest::default() };
    let members = presence.members(with_token(request, &token())).await.expect("members").into_inner();
    assert_eq!((members.count, members.members[0].user.as_str()), (1, "alice"));
    let request = TopicsOfRequest { user: "alice".to_owned() };
    let of = presence.topics_of(with_token(request, &token())).await.expect("topics").into_inner();
    assert_eq!(of.topics, std::slice::from_ref(&topic));

    let mut sessions = SessionsClient::new(admin(&server).await);
    let whose = || Some(SessionsSelector { whose: Some(sessions_selector::Whose::User("alice".to_owned())) });
    let request = ListSessionsRequest { user: "alice".to_owned(), ..ListSessionsRequest::default() };
    let listed = sessions.list(with_token(request, &token())).await.expect("a list").into_inner();
    assert_eq!((listed.total, listed.sessions[0].protocol.as_str()), (1, "grpc"));
    let more = fresh_topic("more");
    let request =
        SubscribeSessionsRequest { sessions: whose(), topics: vec![TopicFrom { topic: more.clone(), from: None }] };
    let affected = sessions.subscribe(with_token(request, &token())).await.expect("done").into_inner();
    assert_eq!(affected.sessions, 1);
    // It is subscribed in its own time; what is published meanwhile may come before that.
    loop {
        server.api().publish_text(&more, "hello").await;
        match tokio::time::timeout(Duration::from_millis(200), alice.next()).await {
            Ok(Heard::Event(event)) if event["topic"] == more => break,
            Ok(Heard::Ended(verdict)) => panic!("{verdict}"),
            Ok(_) | Err(_) => {}
        }
    }

    let mut tokens = TokensClient::new(admin(&server).await);
    let request = RevokeRequest { what: Some(revoke_request::What::BlockUser("alice".to_owned())) };
    tokens.revoke(with_token(request, &token())).await.expect("blocked");
    assert_eq!(alice.ended().await["code"], 4003);
}

/// A backend's credentials that have leaked open nothing where clients connect.
#[tokio::test]
async fn methods_for_backends_are_not_on_the_clients_listener() {
    let server = Server::start(Config::new()).await;
    let items = vec![item(&fresh_topic("public"), 1)];
    let request = || with_token(fanfare_proto::v1::PublishRequest { items: items.clone(), id: 0 }, &token());
    let refused = events(server.public()).await.publish(request()).await.expect_err("it is not served there");
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    events(server.admin()).await.publish(request()).await.expect("it is served here");
}

#[tokio::test]
async fn health_is_told() {
    let mut server = Server::start(Config::new().drain_over(2)).await;
    let topic = fresh_topic("health");
    // Keeps the node draining until it has gone.
    let _listener = Transport::Sse.listen(server.public(), &Listen::to(&topic, Token::client().mint())).await;
    let mut health = HealthClient::new(channel(server.public()).await);
    let ask = || HealthCheckRequest { service: "fanfare.v1.Events".to_owned() };
    let answer = health.check(ask()).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let mut watch = health.watch(ask()).await.expect("a watch").into_inner();
    assert_eq!(watch.message().await.expect("open").expect("now").status(), ServingStatus::Serving);
    server.terminate();
    let next = watch.message().await.expect("open").expect("the change");
    assert_eq!(next.status(), ServingStatus::NotServing);
    drop((health, watch));
    assert!(server.ended(PATIENCE).await.success());
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let server = Server::start(Config::new()).await;
    let mut client = events(server.admin()).await;
    let request = PullRequest {
        topic: fresh_topic("deadline"),
        from: frames::from(&json!("now")),
        wait_ms: 15_000,
        ..PullRequest::default()
    };
    let mut request = with_token(request, &token());
    // As every client sends it; without the client's own clock, so that it is the server that keeps it.
    request.metadata_mut().insert("grpc-timeout", "200m".parse().expect("a plain value"));
    let answer = client.pull(request).await;
    let code = answer.map(|answer| answer.into_inner().events.len()).expect_err("the time is up").code();
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_connection_lives() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("large");
    let mut client = events(server.admin()).await;
    let request = |size: usize| {
        let items = vec![item(&topic, "x".repeat(size))];
        with_token(fanfare_proto::v1::PublishRequest { items, id: 0 }, &token())
    };
    let refused = client.publish(request(64 << 20)).await.expect_err("64 MiB");
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
    client.publish(request(1000)).await.expect("a small one");
}

#[tokio::test]
async fn a_stream_of_several_topics_has_one_cursor() {
    let server = Server::start(Config::new()).await;
    let (a, b) = (fresh_topic("a"), fresh_topic("b"));
    let token = Token::client().mint();
    let ask = |from: &str| Listen { topics: vec![a.clone(), b.clone()], ..Listen::to(&a, token.clone()).from(from) };
    let request = |ask: Listen| fanfare_proto::v1::SubscribeRequest {
        topics: ask.topics.iter().map(|t| fanfare_proto::v1::TopicFrom { topic: t.clone(), from: None }).collect(),
        from: frames::from(&json!(ask.from)),
        ..fanfare_proto::v1::SubscribeRequest::default()
    };
    let mut stream = Frames::subscribe(server.public(), &token, request(ask("now"))).await.expect("a stream");
    // Both are subscribed before the first event.
    let mut subscribed = 0;
    while subscribed < 2 {
        subscribed += usize::from(stream.receive().await.expect("open").get("subscribed").is_some());
    }
    let mut cursor = String::new();
    for (n, topic) in [(1, &a), (2, &b), (3, &a)] {
        server.api().publish_numbers(topic, n..=n).await;
        let frame = loop {
            let frame = stream.receive().await.expect("open");
            if frame.get("event").is_some() {
                break frame;
            }
        };
        assert_eq!(frame["event"]["data"], n, "{frame}");
        frame["cursor"].as_str().expect("a cursor").clone_into(&mut cursor);
    }
    drop(stream);
    for topic in [&a, &b] {
        server.api().publish_numbers(topic, 9..=9).await;
    }
    // The cursor is good in every other protocol.
    for transport in [Transport::GrpcSubscribe, Transport::Sse] {
        let mut listener = transport.listen(server.public(), &ask(&cursor)).await;
        for _ in 0..2 {
            assert_eq!(listener.event().await["data"], 9, "{transport}");
        }
    }
}
