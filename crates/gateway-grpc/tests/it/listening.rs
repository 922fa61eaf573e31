//! `Events.Subscribe`.

use std::time::Duration;

use fanfare_auth::{Action, Door, Revocation};
use fanfare_bus::HubOptions;
use fanfare_gateway_grpc::Options;
use fanfare_model::{ByteSize, Cursor, Duration as Span, Tenant, Topic, UserId};
use fanfare_proto::v1::server_frame::What;
use fanfare_proto::v1::{self, SubscribeRequest};
use tonic::Code;

use crate::support::{Choices, from, node, numbers, refused, strings, topics, with_token};

#[tokio::test]
async fn it_gets_what_is_kept_and_then_what_comes_in_order() {
    let test = node(Choices::default()).await;
    test.publish("chat:1", numbers(0..500)).await;
    let mut frames = test.subscribe(&test.token("alice"), topics(&["chat:1"], "start")).await.unwrap();
    match frames.next().await {
        What::Subscribed(subscribed) => assert!(subscribed.replaying && subscribed.topic == "chat:1"),
        other => panic!("{other:?}"),
    }
    assert_eq!(frames.ids(500).await, numbers(0..500).collect::<Vec<_>>());
    test.publish("chat:1", numbers(500..510)).await;
    for id in numbers(500..510) {
        let frame = frames.frame().await.unwrap().unwrap();
        let Some(What::Event(event)) = frame.what else { panic!("{frame:?}") };
        assert_eq!((event.id.as_str(), frame.cursor.as_str()), (id.as_str(), ""), "one topic needs no cursor");
        assert_eq!(event.data, Some(v1::event::Data::Text(id)));
    }
}

#[tokio::test]
async fn it_resumes_from_a_position() {
    let test = node(Choices::default()).await;
    test.publish("chat:1", numbers(0..3)).await;
    let token = test.token("alice");
    let mut frames = test.subscribe(&token, topics(&["chat:1"], "start")).await.unwrap();
    let position = frames.event().await.position;
    drop(frames);
    test.sessions_are(0).await;
    let mut frames = test.subscribe(&token, topics(&["chat:1"], &position)).await.unwrap();
    assert_eq!(frames.ids(2).await, ["1", "2"]);
}

#[tokio::test]
async fn several_topics_have_one_cursor_from_which_all_go_on() {
    let test = node(Choices::default()).await;
    let token = test.token("alice");
    let mut frames = test.subscribe(&token, topics(&["chat:1", "chat:2"], "now")).await.unwrap();
    test.publish("chat:1", strings(&["a"])).await;
    assert_eq!(frames.ids(1).await, ["a"]);
    test.publish("chat:2", strings(&["b"])).await;
    let cursor = loop {
        let frame = frames.frame().await.unwrap().unwrap();
        if matches!(frame.what, Some(What::Event(_))) {
            break frame.cursor;
        }
    };
    let parsed: Cursor = cursor.parse().unwrap();
    for topic in ["chat:1", "chat:2"] {
        assert_eq!(parsed.position_of(&Topic::new(topic).unwrap(), false).unwrap().offset, 1);
    }
    drop(frames);
    test.publish("chat:1", strings(&["c"])).await;
    test.publish("chat:2", strings(&["d"])).await;
    let mut frames = test.subscribe(&token, topics(&["chat:1", "chat:2"], &cursor)).await.unwrap();
    let mut ids = frames.ids(2).await;
    ids.sort();
    assert_eq!(ids, ["c", "d"]);
    let done = test.subscribe(&token, topics(&["chat:1", "chat:2"], "k3J9.17.0x7")).await;
    let details = refused(done, Code::InvalidArgument, "invalid_request");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "from");
}

#[tokio::test]
async fn what_is_gone_is_told() {
    let test = node(Choices::default()).await;
    test.publish("few:1", numbers(0..1)).await;
    let token = test.token("alice");
    let mut frames = test.subscribe(&token, topics(&["few:1"], "start")).await.unwrap();
    let position = frames.event().await.position;
    drop(frames);
    test.publish("few:1", numbers(1..8)).await;
    let mut frames = test.subscribe(&token, topics(&["few:1"], &position)).await.unwrap();
    assert!(matches!(frames.next().await, What::Subscribed(_)));
    match frames.next().await {
        What::Gap(gap) => {
            assert_eq!((gap.topic.as_str(), gap.from, gap.to, gap.reason.as_str()), ("few:1", 2, 5, "trimmed"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(frames.ids(3).await, ["5", "6", "7"]);
}

#[tokio::test]
async fn it_ends_by_itself_when_it_has_caught_up_if_so_asked() {
    let test = node(Choices::default()).await;
    test.publish("chat:1", numbers(0..300)).await;
    let request = SubscribeRequest { until_live: true, ..topics(&["chat:1", "chat:2"], "start") };
    let mut frames = test.subscribe(&test.token("alice"), request).await.unwrap();
    assert_eq!(frames.ids(300).await, numbers(0..300).collect::<Vec<_>>());
    let (verdict, status) = frames.end().await;
    assert_eq!((verdict, status.code()), (None, Code::Ok));
    test.sessions_are(0).await;
}

#[tokio::test]
async fn both_doors_lead_to_it_and_nobody_comes_in_without_a_grant() {
    let test = node(Choices { anonymous: true, ..Choices::default() }).await;
    let mut backend = test.subscribe(&test.server(), topics(&["secret"], "now")).await.unwrap();
    test.publish("secret", strings(&["x"])).await;
    assert_eq!(backend.ids(1).await, ["x"]);

    let mut events = test.events().await;
    assert!(events.subscribe(topics(&["open:1"], "now")).await.is_ok(), "anonymous clients may listen there");
    let denied =
        refused(events.subscribe(topics(&["chat:1"], "now")).await, Code::PermissionDenied, "permission_denied");
    assert_eq!(denied.resource_info().unwrap().resource_name, "chat:1");
    refused(
        events.subscribe(with_token(topics(&["chat:1"], "now"), "x")).await,
        Code::Unauthenticated,
        "malformed_token",
    );
    let token = test.token_for(Door::Client, Some("bob"), &["news"], &[Action::Subscribe]);
    refused(test.subscribe(&token, topics(&["news"], "start")).await, Code::PermissionDenied, "permission_denied");
    let done = test.subscribe(&token, topics(&[], "now")).await;
    let details = refused(done, Code::InvalidArgument, "invalid_request");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "topics");
}

#[tokio::test]
async fn a_session_ends_with_its_verdict_and_its_status() {
    let test = node(Choices::default()).await;
    let (tenant, alice) = (Tenant::default(), UserId::new("alice").unwrap());
    let listen = || async { test.subscribe(&test.token("alice"), topics(&["chat:1"], "now")).await.unwrap() };

    let mut frames = listen().await;
    assert_eq!(test.node.sessions.disconnect_user(&tenant, &alice), 1);
    let (verdict, status) = frames.end().await;
    assert_eq!((verdict.unwrap().code, status.code()), (4004, Code::Aborted));

    let mut frames = listen().await;
    let auth = test.node.auth.clone();
    let block = Revocation::Block { tenant, user: alice };
    tokio::task::spawn_blocking(move || auth.revoke(block)).await.unwrap().unwrap();
    let (verdict, status) = frames.end().await;
    assert_eq!((verdict.unwrap().reason.as_str(), status.code()), ("revoked", Code::Unauthenticated));

    let mut frames = test.subscribe(&test.token("bob"), topics(&["chat:1"], "now")).await.unwrap();
    test.node.life.drain();
    let (verdict, status) = frames.end().await;
    let verdict = verdict.unwrap();
    assert!(verdict.reconnect && verdict.retry_after_ms.is_some_and(|wait| wait > 0));
    assert_eq!((verdict.reason.as_str(), status.code()), ("draining", Code::Unavailable));
    test.sessions_are(0).await;
}

#[tokio::test]
async fn presence_is_told_with_it() {
    let test = node(Choices::default()).await;
    let request = SubscribeRequest { presence: true, ..topics(&["chat:1"], "now") };
    let mut frames = test.subscribe(&test.token("alice"), request).await.unwrap();
    let rev = loop {
        if let What::Presence(state) = frames.next().await {
            assert_eq!((state.topic.as_str(), state.count), ("chat:1", 0));
            break state.rev;
        }
    };
    let mut bob = test.connect("bob").await;
    bob.enter("chat:1", r#"{"status":"here"}"#).await;
    match frames.next().await {
        What::PresenceDiff(diff) => {
            assert_eq!((diff.prev, diff.count, diff.join.len()), (rev, 1, 1));
            assert_eq!((diff.join[0].user.as_str(), &diff.join[0].data[..]), ("bob", &br#"{"status":"here"}"#[..]));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_clients_deadline_ends_it() {
    let test = node(Choices::default()).await;
    let mut request = with_token(topics(&["chat:1"], "now"), &test.token("alice"));
    request.set_timeout(Duration::from_secs(3));
    let mut frames = test.events().await.subscribe(request).await.unwrap().into_inner();
    let ended = loop {
        match frames.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an end without a status"),
            Err(status) => break status,
        }
    };
    // The client's own clock says CANCELLED, the server's DEADLINE_EXCEEDED, whichever is first.
    assert!(matches!(ended.code(), Code::DeadlineExceeded | Code::Cancelled), "{ended:?}");
    test.sessions_are(0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go_and_the_others_notice_nothing() {
    let grpc = Options { stall_timeout: Span::from_secs(3), ..Options::default() };
    let hub = HubOptions { ring_events_max: 16, ..HubOptions::default() };
    let test = node(Choices { grpc, hub, ..Choices::default() }).await;
    let mut reading = test.subscribe(&test.token("alice"), topics(&["chat:1"], "now")).await.unwrap();
    let _stuck = test.subscribe(&test.token("bob"), topics(&["chat:1"], "now")).await.unwrap();
    let large = "x".repeat(100_000);
    for id in numbers(0..20) {
        test.publish_text("chat:1", &id, &large).await;
        assert_eq!(reading.ids(1).await, [id]);
    }
    test.sessions_are(1).await;
    test.publish("chat:1", strings(&["last"])).await;
    assert_eq!(reading.ids(1).await, ["last"]);
}

#[tokio::test]
async fn a_burst_is_put_together() {
    let grpc = Options { write_batch: ByteSize::kib(4), ..Options::default() };
    let test = node(Choices { grpc, ..Choices::default() }).await;
    let mut frames = test.subscribe(&test.token("alice"), topics(&["chat:1"], "now")).await.unwrap();
    test.publish("chat:1", numbers(0..5000)).await;
    assert_eq!(frames.ids(5000).await, numbers(0..5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_topic_of_its_own_place() {
    let test = node(Choices::default()).await;
    test.publish("chat:1", numbers(0..5)).await;
    test.publish("chat:2", numbers(5..9)).await;
    let one = |topic: &str, begin: &str| v1::TopicFrom { topic: topic.to_owned(), from: from(begin) };
    let request = SubscribeRequest {
        topics: vec![one("chat:1", "last:1"), one("chat:2", "last:2")],
        until_live: true,
        ..SubscribeRequest::default()
    };
    let mut frames = test.subscribe(&test.token("alice"), request).await.unwrap();
    let mut ids = frames.ids(3).await;
    ids.sort();
    assert_eq!(ids, ["4", "7", "8"]);
}
