//! What a client may do.

use fanfare_bus::HubOptions;
use fanfare_gateway_ws::Options;
use fanfare_model::{ByteSize, Duration, Tenant, UserId};
use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Choices, node};

fn ids(range: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    range.map(|n| format!("e{n}"))
}

#[tokio::test]
async fn publish_and_hear() {
    let node = node(Choices::default()).await;
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    let subscribed = alice.ask("subscribe", json!({"topic": "chat:42"})).await;
    assert_eq!(subscribed["subscribed"]["state"], "live");
    let message = json!({"topic": "chat:42", "name": "message", "data": {"text": "hi"}, "event_id": "m1", "key": "k"});
    let published = bob.ask("publish", message.clone()).await;
    assert_eq!((&published["published"]["offset"], &published["published"]["duplicate"]), (&json!(1), &json!(false)));
    let event = alice.next().await;
    let event = &event["event"];
    assert_eq!(event["position"], published["published"]["position"]);
    for (member, value) in [
        ("topic", json!("chat:42")),
        ("id", json!("m1")),
        ("name", json!("message")),
        ("user", json!("bob")),
        ("source", json!("websocket")),
        ("key", json!("k")),
        ("data", json!({"text": "hi"})),
    ] {
        assert_eq!(event[member], value, "{member}");
    }
    // The same id again is stored once.
    let again = bob.ask("publish", message).await;
    assert_eq!(again["published"]["duplicate"], true);
    assert_eq!(again["published"]["position"], published["published"]["position"]);
}

#[tokio::test]
async fn the_same_over_a_stream_that_is_no_socket() {
    let node = node(Choices::default()).await;
    let mut peer = node.open_over_pipe().await;
    peer.ask("connect", json!({"token": node.token("alice")})).await;
    node.publish("chat:1", ids(1..301)).await;
    // Far more than the pipe holds at a time.
    peer.ask("subscribe", json!({"topic": "chat:1", "from": "start"})).await;
    assert!(peer.events(300).await.iter().map(|(offset, _)| *offset).eq(1..=300));
    peer.socket.close(None).await.unwrap();
    node.sessions_are(0).await;
}

#[tokio::test]
async fn resume_from_the_position_of_an_event() {
    let node = node(Choices::default()).await;
    let mut first = node.connect("alice").await;
    first.ask("subscribe", json!({"topic": "chat:42"})).await;
    node.publish("chat:42", ids(1..3)).await;
    first.events(1).await;
    let seen = first.next().await["event"]["position"].clone();
    drop(first);
    node.publish("chat:42", ids(3..6)).await;
    let mut second = node.connect("alice").await;
    let subscribed = second.ask("subscribe", json!({"topic": "chat:42", "from": seen})).await;
    assert_eq!(subscribed["subscribed"]["position"], seen);
    assert_eq!(second.events(3).await.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [3, 4, 5]);
}

#[tokio::test]
async fn every_form_of_from_begins_where_it_says() {
    let node = node(Choices::default()).await;
    node.publish("chat:1", ids(1..11)).await;
    for (from, first) in [(json!("start"), 1), (json!({"last": 3}), 8), (json!("last:2"), 9), (json!({"since": 0}), 1)]
    {
        let mut peer = node.connect("alice").await;
        let subscribed = peer.ask("subscribe", json!({"topic": "chat:1", "from": from})).await;
        assert_eq!(subscribed["subscribed"]["state"], "replaying", "{from}");
        let events = peer.events(11 - first).await;
        assert_eq!((events[0].0, events.last().unwrap().0), (first as u64, 10), "{from}");
    }
}

#[tokio::test]
async fn a_foreign_position_is_answered_with_a_gap() {
    let node = node(Choices::default()).await;
    node.publish("chat:1", ids(1..3)).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "chat:1", "from": "zzzz.9.001"})).await;
    let gap = peer.next().await;
    assert_eq!((&gap["gap"]["topic"], &gap["gap"]["reason"]), (&json!("chat:1"), &json!("epoch")));
    assert_eq!(peer.events(2).await.len(), 2);
}

#[tokio::test]
async fn a_long_replay_is_complete_and_in_order() {
    let hub = HubOptions { ring_events_max: 8, ..HubOptions::default() };
    let node = node(Choices { hub, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    node.publish("chat:1", ids(1..901)).await;
    peer.ask("subscribe", json!({"topic": "chat:1", "from": "start"})).await;
    node.publish("chat:1", ids(901..1001)).await;
    let events = peer.events(1000).await;
    assert!(events.iter().zip(1_u64..).all(|((offset, id), n)| *offset == n && *id == format!("e{n}")));
}

#[tokio::test]
async fn history_in_both_directions() {
    let node = node(Choices::default()).await;
    node.publish("chat:1", ids(1..11)).await;
    let mut peer = node.connect("alice").await;
    for (query, offsets, more) in [
        (json!({"topic": "chat:1", "before": 8, "limit": 3}), vec![7, 6, 5], true),
        (json!({"topic": "chat:1", "before": 1}), vec![], false),
        (json!({"topic": "chat:1", "after": 8}), vec![9, 10], false),
        (json!({"topic": "chat:1", "last": 2}), vec![9, 10], true),
        (json!({"topic": "chat:1", "limit": 2}), vec![1, 2], true),
        (json!({"topic": "chat:1", "limit": 2, "direction": "backward"}), vec![10, 9], true),
    ] {
        let reply = peer.ask("history", query.clone()).await;
        let page = &reply["history"];
        let got: Vec<u64> = page["events"].as_array().unwrap().iter().map(|e| e["offset"].as_u64().unwrap()).collect();
        assert_eq!((got, page["more"].as_bool().unwrap()), (offsets, more), "{query}");
        assert_eq!(page["first"], 1);
    }
    let other_life = peer.ask("history", json!({"topic": "chat:1", "after": "zzzz.9.001"})).await;
    assert_eq!(other_life["error"]["code"], "conflict");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_the_session_goes_on() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "news"})).await;
    for (command, body, code) in [
        ("subscribe", json!({"topic": "secret"}), "permission_denied"),
        ("publish", json!({"topic": "secret", "data": 1}), "permission_denied"),
        ("history", json!({"topic": "secret"}), "permission_denied"),
        // Granted, but topics of this kind take nothing from clients.
        ("publish", json!({"topic": "news", "data": 1}), "permission_denied"),
        ("subscribe", json!({"topic": "news"}), "conflict"),
        ("unsubscribe", json!({"topic": "chat:1"}), "not_found"),
        ("connect", json!({}), "conflict"),
        ("subscribe", json!({"topic": "chat:1", "from": "soon"}), "invalid_request"),
        ("publish", json!({"topic": "chat:1", "data": "x".repeat(1 << 20)}), "too_large"),
    ] {
        let reply = peer.ask(command, body).await;
        assert_eq!(reply["error"]["code"], code, "{command}: {reply}");
    }
    peer.ask("unsubscribe", json!({"topic": "news"})).await;
    node.publish("news", ids(1..2)).await;
    // Nothing of it is heard: the next thing said is the answer.
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
}

#[tokio::test]
async fn several_commands_in_a_message_are_answered_in_order() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.send(
        "{\"id\":1,\"subscribe\":{\"topic\":\"chat:1\"}}\n{\"id\":2,\"publish\":{\"topic\":\"chat:1\",\"data\":[]}}\n\
         {\"id\":3,\"nonsense\":1}\n{\"unsubscribe\":{\"topic\":\"chat:9\"}}\n{\"ping\":{}}",
    )
    .await;
    let mut said = Vec::new();
    while said.len() < 6 {
        said.push(peer.next().await);
    }
    let at = |name: &str| said.iter().position(|s| s.get(name).is_some()).unwrap_or_else(|| panic!("{name}: {said:?}"));
    assert!(at("subscribed") < at("published") && at("subscribed") < at("event") && at("published") < at("pong"));
    assert_eq!(said.iter().filter(|s| s.get("error").is_some()).count(), 2);
}

#[tokio::test]
async fn the_first_message_must_say_who_it_is() {
    let node = node(Choices::default()).await;
    for (message, code) in [
        (r#"{"id":1,"subscribe":{"topic":"news"}}"#, 4001),
        (r#"{"id":1,"connect":{}}"#, 4001),
        (r#"{"id":1,"connect":{"token":"nonsense"}}"#, 4001),
        ("hello", 4005),
    ] {
        let mut peer = node.open().await;
        peer.send(message).await;
        assert!(peer.next().await.get("error").is_some(), "{message}");
        let (closed, disconnect) = peer.disconnected().await;
        assert_eq!((closed, &disconnect["reconnect"]), (code, &json!(false)), "{message}");
    }
    let options = Options { connect_timeout: Duration::from_millis(1), ..Options::default() };
    let impatient = crate::support::node(Choices { ws: options, ..Choices::default() }).await;
    assert_eq!(impatient.open().await.disconnected().await.0, 3005);
}

#[tokio::test]
async fn anonymous_clients_where_allowed() {
    let node = node(Choices { anonymous: true, ..Choices::default() }).await;
    let mut peer = node.open().await;
    let connected = peer.ask("connect", json!({"name": "web", "version": "1.2"})).await;
    assert!(connected["connected"].get("user").is_none() && connected["connected"].get("session").is_some());
    assert!(peer.ask("subscribe", json!({"topic": "open:1"})).await.get("subscribed").is_some());
    let denied = peer.ask("subscribe", json!({"topic": "open:1x", "from": "start"})).await;
    assert_eq!(denied["error"]["code"], "permission_denied", "going back needs the history grant");
}

#[tokio::test]
async fn a_token_in_the_handshake_connects_at_once() {
    let node = node(Choices::default()).await;
    let bearer = format!("Bearer {}", node.token("alice"));
    let mut peer = node.try_open(&[("authorization", &bearer)]).await.unwrap();
    let connected = peer.next().await;
    assert_eq!((connected.get("id"), &connected["connected"]["user"]), (None, &json!("alice")));
    assert!(connected["connected"]["expires_in"].as_u64().unwrap() > 3000);
    assert!(peer.ask("subscribe", json!({"topic": "news"})).await.get("subscribed").is_some());

    let refused = node.try_open(&[("authorization", "Bearer nonsense")]).await.err().unwrap();
    match refused {
        tokio_tungstenite::tungstenite::Error::Http(response) => assert_eq!(response.status(), 401),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refresh_checks_every_subscription_again() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    peer.ask("subscribe", json!({"topic": "news"})).await;
    let other = peer.ask("refresh", json!({"token": node.token("mallory")})).await;
    assert_eq!(other["error"]["code"], "permission_denied");
    let refreshed = peer.ask("refresh", json!({"token": node.token_for("alice", &["news"])})).await;
    assert!(refreshed["refreshed"]["expires_in"].as_u64().unwrap() > 3000);
    let ended = peer.next().await;
    assert_eq!(ended, json!({"unsubscribed": {"topic": "chat:1", "code": 2501, "reason": "permission ended"}}));
    assert!(peer.next().await["resume"]["token"].as_str().unwrap().starts_with("fr1."));
    node.publish("chat:1", ids(1..2)).await;
    node.publish("news", ids(1..2)).await;
    assert_eq!(peer.next().await["event"]["topic"], "news");
}

#[tokio::test]
async fn the_node_sends_sessions_away_with_a_verdict() {
    let node = node(Choices::default()).await;
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    node.node.sessions.disconnect_user(&Tenant::default(), &UserId::new("alice").unwrap());
    let (code, disconnect) = alice.disconnected().await;
    assert_eq!((code, &disconnect["reconnect"], disconnect.get("retry_after_ms")), (4004, &json!(false), None));
    node.node.life.drain();
    let (code, disconnect) = bob.disconnected().await;
    assert_eq!((code, &disconnect["reason"], &disconnect["reconnect"]), (3001, &json!("draining"), &json!(true)));
    assert!(disconnect["retry_after_ms"].as_u64().unwrap() > 0);
    drop((alice, bob));
    node.sessions_are(0).await;
    let late = node.try_open(&[]).await.err().unwrap();
    assert!(matches!(late, tokio_tungstenite::tungstenite::Error::Http(response) if response.status() == 503));
}

#[tokio::test]
async fn closing_ends_the_session_with_the_same_code() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.socket
        .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4999.into(), reason: "".into() }))
        .await
        .unwrap();
    assert_eq!(peer.closed().await, 4999);
    node.sessions_are(0).await;
}

#[tokio::test]
async fn too_many_subscriptions_and_too_many_sessions() {
    let session = fanfare_session::Options {
        subscriptions_max: 2,
        sessions_per_user_max: 1,
        ..fanfare_session::Options::default()
    };
    let node = node(Choices { session, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    peer.ask("subscribe", json!({"topic": "chat:2"})).await;
    let third = peer.ask("subscribe", json!({"topic": "chat:3"})).await;
    assert_eq!((&third["error"]["code"], &third["error"]["retryable"]), (&json!("rate_limited"), &json!(false)));
    let mut second = node.open().await;
    let refused = second.ask("connect", json!({"token": node.token("alice")})).await;
    assert_eq!(refused["error"]["code"], "rate_limited");
    assert_eq!(second.disconnected().await.0, 4007);
}

#[tokio::test]
async fn pings_are_answered_both_ways_and_silence_ends_the_session() {
    let session =
        fanfare_session::Options { ping_interval: Duration::from_secs(4), ..fanfare_session::Options::default() };
    let ws = Options { close_timeout: Duration::from_millis(10), ..Options::default() };
    let node = node(Choices { ws, session, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    // The server's own ping, for the program and for the library.
    assert_eq!(peer.any_message().await, Message::text(r#"{"ping":{}}"#));
    assert_eq!(peer.any_message().await, Message::Ping(Vec::new().into()));
    // Ours.
    peer.socket.send(Message::Ping(b"here".to_vec().into())).await.unwrap();
    assert_eq!(peer.message().await, Message::Pong(b"here".to_vec().into()));
    // A client that reads nothing does not answer either: tungstenite answers when it is read.
    node.sessions_are(0).await;
}

#[tokio::test]
async fn a_reader_that_stops_gets_everything_when_it_reads_again() {
    let hub = HubOptions { ring_events_max: 4, ..HubOptions::default() };
    let node = node(Choices { hub, ..Choices::default() }).await;
    let mut slow = node.connect("alice").await;
    let mut quick = node.connect("bob").await;
    for peer in [&mut slow, &mut quick] {
        peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    }
    // More than the sockets between them can hold.
    let big = fanfare_model::Data::text("x".repeat(64 << 10));
    for n in 0..400 {
        let draft = fanfare_model::Draft {
            id: fanfare_model::EventId::new(format!("e{n}")).unwrap(),
            ..fanfare_model::Draft::new(big.clone())
        };
        let topic = fanfare_model::Topic::new("chat:1").unwrap();
        node.node.bus.publish(&Tenant::default(), vec![(topic, draft)]).await.unwrap();
        assert_eq!(quick.events(1).await[0].0, n + 1);
    }
    let offsets: Vec<u64> = slow.events(400).await.into_iter().map(|(offset, _)| offset).collect();
    assert!(offsets.into_iter().eq(1..=400));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read() {
    let ws = Options {
        replies_bytes_max: ByteSize::kib(1),
        commands_per_second: 1_000_000,
        commands_burst: 1_000_000,
        ..Options::default()
    };
    let node = node(Choices { ws, ..Choices::default() }).await;
    let data = "y".repeat(900);
    let mut peer = node.connect("alice").await;
    for n in 0..100 {
        peer.ask("publish", json!({"topic": "chat:1", "data": data, "event_id": format!("e{n}")})).await;
    }
    // Each asks for 90 KB. The answers come all, in order, however late they are read.
    for n in 0..300 {
        peer.send(json!({"id": n, "history": {"topic": "chat:1"}}).to_string()).await;
    }
    for n in 0..300 {
        assert_eq!(peer.next().await["id"], n);
    }
}
