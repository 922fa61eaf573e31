//! `Session.Open`: what a WebSocket client can do.

use fanfare_gateway_grpc::Options;
use fanfare_model::{Duration as Span, Tenant, Topic, UserId};
use fanfare_proto::v1::{self, client_frame::Command, server_frame::What};
use fanfare_session::{From, Whose};
use tonic::Code;

use crate::support::{Choices, PATIENCE, connect, json, node, numbers, refused, strings, text, topics, with_token};

#[tokio::test]
async fn a_client_does_all_that_it_may() {
    let test = node(Choices::default()).await;
    let mut alice = test.connect("alice").await;
    let subscribed = alice.subscribe_to("chat:1", "now").await;
    assert!(!subscribed.replaying);
    let publish = v1::Publish { topic: "chat:1".to_owned(), message: Some(text("hi")) };
    let published = match alice.ask(Command::Publish(publish)).await {
        What::Published(published) => published,
        other => panic!("{other:?}"),
    };
    assert_eq!((published.offset, published.duplicate), (1, false));

    let mut bob = test.connect("bob").await;
    bob.subscribe_to("chat:1", "start").await;
    let event = bob.event().await;
    assert_eq!((event.user.as_str(), event.source.as_str(), &event.position), ("alice", "grpc", &published.position));

    let history = v1::ReadHistory { topic: "chat:1".to_owned(), ..v1::ReadHistory::default() };
    match bob.ask(Command::History(history)).await {
        What::History(page) => assert_eq!((page.events, page.more), (vec![event], false)),
        other => panic!("{other:?}"),
    }
    match bob.ask(Command::Refresh(v1::Refresh { token: test.token("bob") })).await {
        What::Refreshed(refreshed) => assert!(refreshed.expires_in.is_some()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(bob.ask(Command::Ping(v1::Ping {})).await, What::Pong(_)));
    match bob.ask(Command::Unsubscribe(v1::Unsubscribe { topic: "chat:1".to_owned() })).await {
        What::Unsubscribed(unsubscribed) => assert_eq!((unsubscribed.code, unsubscribed.reason.as_str()), (0, "")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credentials_in_the_metadata_need_no_first_frame() {
    let test = node(Choices::default()).await;
    let mut alice = test.open_with(Some(&test.token("alice"))).await.unwrap();
    match alice.next().await {
        What::Connected(connected) => assert_eq!((connected.user.as_str(), connected.resumed), ("alice", false)),
        other => panic!("{other:?}"),
    }
    alice.subscribe_to("chat:1", "now").await;
    refused(test.open_with(Some("nonsense")).await, Code::Unauthenticated, "malformed_token");
    refused(test.open_with(Some(&test.server())).await, Code::Unauthenticated, "wrong_audience");
}

#[tokio::test]
async fn whoever_does_not_say_who_it_is_is_sent_away() {
    let grpc = Options { connect_timeout: Span::from_secs(3), unconnected_max: 1, ..Options::default() };
    let test = node(Choices { grpc, ..Choices::default() }).await;
    let mut silent = test.open().await;
    refused(test.open_with(None).await, Code::Unavailable, "overloaded");
    let (verdict, status) = silent.end().await;
    assert_eq!((verdict.unwrap().reason.as_str(), status.code()), ("silent", Code::Unavailable));

    let mut hasty = test.open().await;
    hasty.send(1, Some(Command::Ping(v1::Ping {}))).await;
    assert!(matches!(hasty.next().await, What::Pong(_)));
    hasty.send(2, Some(Command::Unsubscribe(v1::Unsubscribe { topic: "a".to_owned() }))).await;
    let frame = hasty.frame().await.unwrap().unwrap();
    let Some(What::Error(error)) = frame.what else { panic!("{frame:?}") };
    assert_eq!((frame.id, error.code.as_str()), (2, "unauthenticated"));
    let (verdict, status) = hasty.end().await;
    assert_eq!((verdict.unwrap().code, status.code()), (4001, Code::Unauthenticated));

    let mut wrong = test.open().await;
    wrong.send(1, Some(connect("nonsense"))).await;
    assert!(matches!(wrong.next().await, What::Error(error) if error.code == "malformed_token"));
    assert_eq!(wrong.end().await.1.code(), Code::Unauthenticated);

    let mut gone = test.open().await;
    gone.half_close();
    assert_eq!(gone.end().await.1.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn who_says_nothing_more_goes_on_listening() {
    let test = node(Choices::default()).await;
    let mut alice = test.connect("alice").await;
    alice.subscribe_to("chat:1", "now").await;
    alice.half_close();
    test.publish("chat:1", strings(&["a"])).await;
    assert_eq!(alice.ids(1).await, ["a"]);
    drop(alice);
    test.sessions_are(0).await;
}

#[tokio::test]
async fn a_frame_that_is_none_is_told_and_the_session_goes_on() {
    let test = node(Choices::default()).await;
    let mut alice = test.connect("alice").await;
    alice.send(9, None).await;
    let frame = alice.frame().await.unwrap().unwrap();
    let Some(What::Error(error)) = frame.what else { panic!("{frame:?}") };
    assert_eq!((frame.id, error.code.as_str()), (9, "invalid_request"));
    let forged = v1::Message { source: "bank".to_owned(), ..text("x") };
    let publish = v1::Publish { topic: "chat:1".to_owned(), message: Some(forged) };
    assert!(
        matches!(alice.ask(Command::Publish(publish)).await, What::Error(error) if error.message.contains("source"))
    );
    alice.subscribe_to("chat:1", "now").await;
}

#[tokio::test]
async fn events_and_commands_take_turns() {
    let test = node(Choices::default()).await;
    test.publish("chat:1", numbers(0..20_000)).await;
    let mut alice = test.connect("alice").await;
    alice.subscribe_to("chat:1", "start").await;
    // Answered while there is more to deliver than is put together at once.
    alice.send(5, Some(Command::Ping(v1::Ping {}))).await;
    let mut before = 0;
    loop {
        match alice.next().await {
            What::Event(_) => before += 1,
            What::Pong(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(before < 20_000, "the answer came before the last event");
    assert_eq!(alice.ids(20_000 - before).await.last().unwrap(), "19999");
}

#[tokio::test]
async fn members_come_change_and_leave() {
    let test = node(Choices::default()).await;
    let mut alice = test.connect("alice").await;
    let subscribe = v1::Subscribe { topic: "chat:1".to_owned(), presence: true, ..v1::Subscribe::default() };
    assert!(matches!(alice.ask(Command::Subscribe(subscribe)).await, What::Subscribed(_)));
    assert!(matches!(alice.next().await, What::Presence(state) if state.count == 0));
    let mut bob = test.connect("bob").await;
    bob.enter("chat:1", r#"{"a":1,"b":2}"#).await;
    let joined = alice.next().await;
    assert!(matches!(&joined, What::PresenceDiff(diff) if diff.join.len() == 1), "{joined:?}");
    let act = |act| Command::Presence(v1::PresenceCommand { topic: "chat:1".to_owned(), act: Some(act) });
    let patch = v1::presence_command::Act::Update(v1::PresenceUpdate { patch: json(r#"{"a":null}"#) });
    assert!(matches!(bob.ask(act(patch)).await, What::Presence(_)));
    match alice.next().await {
        What::PresenceDiff(diff) => assert_eq!(&diff.update[0].data[..], br#"{"b":2}"#),
        other => panic!("{other:?}"),
    }
    match bob.ask(act(v1::presence_command::Act::Read(v1::PresenceRead::default()))).await {
        What::Presence(state) => assert_eq!((state.count, state.members[0].user.as_str()), (1, "bob")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(bob.ask(act(v1::presence_command::Act::Leave(v1::PresenceLeave {}))).await, What::Presence(_)));
    assert!(matches!(alice.next().await, What::PresenceDiff(diff) if diff.leave.len() == 1 && diff.count == 0));
    let bad = v1::presence_command::Act::Enter(v1::PresenceEnter { data: json("{") });
    assert!(matches!(bob.ask(act(bad)).await, What::Error(error) if error.code == "invalid_request"));
}

#[tokio::test]
async fn a_resume_token_brings_it_back() {
    let test = node(Choices::default()).await;
    let mut alice = test.open().await;
    let connected = match alice.ask(connect(&test.token("alice"))).await {
        What::Connected(connected) => connected,
        other => panic!("{other:?}"),
    };
    alice.subscribe_to("chat:1", "now").await;
    test.publish("chat:1", strings(&["a"])).await;
    let position = alice.event().await.position;
    drop(alice);
    test.publish("chat:1", strings(&["b"])).await;
    let mut again = test.open().await;
    let cursor = format!(r#"{{"chat:1":"{position}"}}"#);
    let resume = v1::Connect { resume: connected.resume, cursor, ..v1::Connect::default() };
    match again.ask(Command::Connect(resume)).await {
        What::Connected(back) => assert_eq!((back.session, back.resumed), (connected.session, true)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(again.next().await, What::Subscribed(_)));
    assert_eq!(again.ids(1).await, ["b"]);
}

#[tokio::test]
async fn the_application_may_order_it() {
    let test = node(Choices::default()).await;
    let mut alice = test.connect("alice").await;
    let whose = Whose::User(Tenant::default(), UserId::new("alice").unwrap());
    let topic = Topic::new("orders:7").unwrap();
    assert_eq!(test.node.sessions.subscribe(&whose, &topic, &From::Now), 1);
    assert!(matches!(alice.next().await, What::Subscribed(subscribed) if subscribed.topic == "orders:7"));
    test.publish("orders:7", strings(&["a"])).await;
    assert_eq!(alice.ids(1).await, ["a"]);
    assert_eq!(test.node.sessions.unsubscribe(&whose, &topic), 1);
    match alice.next().await {
        What::Unsubscribed(unsubscribed) => assert_eq!(unsubscribed.code, 2503),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn too_many_commands_are_refused_and_then_it_is_over() {
    let grpc = Options { commands_per_second: 1, commands_burst: 2, ..Options::default() };
    let test = node(Choices { grpc, ..Choices::default() }).await;
    let mut alice = test.connect("alice").await;
    for _ in 0..20 {
        alice.send(1, Some(Command::Ping(v1::Ping {}))).await;
    }
    assert!(matches!(alice.next().await, What::Pong(_)));
    // Another on a machine that was busy for a second meanwhile.
    let refused = loop {
        match alice.next().await {
            What::Pong(_) => {}
            other => break other,
        }
    };
    assert!(matches!(refused, What::Error(error) if error.code == "rate_limited" && error.retryable));
    let (verdict, status) = alice.end().await;
    assert_eq!((verdict.unwrap().code, status.code()), (4007, Code::ResourceExhausted));
}

#[tokio::test]
async fn it_is_pinged() {
    let session = fanfare_session::Options { ping_interval: Span::from_millis(100), ..Default::default() };
    let test = node(Choices { session, ..Choices::default() }).await;
    let request = with_token(topics(&["chat:1"], "now"), &test.token("alice"));
    let mut stream = test.events().await.subscribe(request).await.unwrap().into_inner();
    let pinged = async {
        while let Some(frame) = stream.message().await.unwrap() {
            if matches!(frame.what, Some(What::Ping(_))) {
                return;
            }
        }
        panic!("the stream ended");
    };
    tokio::time::timeout(PATIENCE, pinged).await.unwrap();
}
