//! What a client may say, and what it is answered.

use std::collections::BTreeMap;

use fanfare_tests::token::{self, Token};
use fanfare_tests::ws::{self, WsClient};
use fanfare_tests::{Config, Message, PATIENCE, Server, eventually, fresh_topic, within};
use serde_json::{Value, json};

async fn start() -> (Server, WsClient) {
    let server = Server::start(Config::new()).await;
    let client = ws::connect(server.public(), &Token::client().mint()).await;
    (server, client)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test]
async fn connect_says_who_one_is_and_until_when() {
    let server = Server::start(Config::new()).await;
    let (mut client, _) = ws::handshake(server.public(), &[]).await.expect("a handshake");
    let token = Token::client().user("alice").expires_in(100).mint();
    let reply = client.request(json!({"connect": {"token": token, "name": "web", "version": "1.2"}})).await;
    let connected = &reply["connected"];
    assert_eq!(connected["user"], "alice");
    assert!(connected["session"].as_str().is_some_and(|id| id.len() >= 16), "{connected}");
    assert!(connected["expires_in"].as_u64().is_some_and(|seconds| (90..=100).contains(&seconds)), "{connected}");
    assert_eq!(connected["ping_every"], 25);

    let listed = server.api().get("/v1/sessions").await.ok();
    let session = &listed["sessions"][0];
    assert_eq!((&session["id"], &session["client"]), (&connected["session"], &"web/1.2".into()), "{listed}");

    // A second one is refused and changes nothing.
    client.refused(json!({"connect": {"token": token}}), "conflict").await;
    client.subscribe("news", "now").await;
}

#[tokio::test]
async fn nothing_works_before_connect() {
    let server = Server::start(Config::new()).await;
    for command in [
        json!({"subscribe": {"topic": "a"}}),
        json!({"publish": {"topic": "a", "data": 1}}),
        json!({"history": {"topic": "a"}}),
        json!({"unsubscribe": {"topic": "a"}}),
        json!({"refresh": {"token": "x"}}),
    ] {
        let (mut client, _) = ws::handshake(server.public(), &[]).await.expect("a handshake");
        let reply = client.request(command.clone()).await;
        assert!(reply.get("error").is_some(), "{command}: {reply}");
    }
    assert!(server.api().log_of("a").await.is_empty());
}

#[tokio::test]
async fn a_token_in_the_handshake_saves_the_first_message() {
    let server = Server::start(Config::new()).await;
    let authorization = format!("Bearer {}", Token::client().user("bob").mint());
    let (mut client, _) =
        ws::handshake(server.public(), &[("authorization", &authorization)]).await.expect("a handshake");
    let frame = client.frame().await;
    assert_eq!(frame["connected"]["user"], "bob", "{frame}");
    client.subscribe("news", "now").await;
}

#[tokio::test]
async fn many_topics_in_one_connection_each_in_order() {
    const TOPICS: usize = 100;
    const ROUNDS: u64 = 20;
    let (server, mut client) = start().await;
    let topics: Vec<String> = (0..TOPICS).map(|_| fresh_topic("many")).collect();
    for topic in &topics {
        client.subscribe(topic, "now").await;
    }
    let api = server.api().pooled();
    for n in 1..=ROUNDS {
        api.post("/v1/publish", &json!({"topics": topics, "message": {"data": n}})).await.ok();
    }
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for _ in 0..ROUNDS * TOPICS as u64 {
        let event = client.event().await;
        seen.entry(event["topic"].as_str().expect("text").to_owned()).or_default().push(event["data"].clone());
    }
    assert_eq!(seen.len(), TOPICS);
    assert!(seen.values().all(|events| *events == numbers(1..=ROUNDS)));
}

#[tokio::test]
async fn every_form_of_from() {
    let (server, mut client) = start().await;
    let topic = fresh_topic("from");
    let positions = server.api().publish_numbers(&topic, 1..=9).await;
    for (from, first) in [
        (json!("start"), 1),
        (json!("last:2"), 8),
        (json!({"last": 3}), 7),
        (json!({"since": "2020-01-01T00:00:00Z"}), 1),
        (json!(positions[4]), 6),
    ] {
        let subscribed = client.subscribe(&topic, from.clone()).await;
        assert_eq!(subscribed["topic"], topic);
        let count = usize::try_from(10 - first).expect("small");
        assert_eq!(client.take(count).await, numbers(first..=9), "{from}");
        let reply = client.request(json!({"unsubscribe": {"topic": topic}})).await;
        assert_eq!(reply["unsubscribed"]["topic"], topic);
    }
    let subscribed = client.subscribe(&topic, "now").await;
    assert_eq!(subscribed["position"].as_str(), positions.last().map(String::as_str), "where it begins");
    assert_eq!(subscribed["state"], "live");
}

#[tokio::test]
async fn a_subscription_twice_is_refused_and_unsubscribe_ends_it() {
    let (server, mut client) = start().await;
    let topic = fresh_topic("twice");
    client.subscribe(&topic, "now").await;
    client.refused(json!({"subscribe": {"topic": topic}}), "conflict").await;
    client.request(json!({"unsubscribe": {"topic": topic}})).await;
    client.refused(json!({"unsubscribe": {"topic": topic}}), "not_found").await;
    server.api().publish_text(&topic, "unheard").await;
    client.subscribe(&topic, "now").await;
    server.api().publish_text(&topic, "heard").await;
    assert_eq!(client.event().await["data"], "heard");
}

#[tokio::test]
async fn publish_needs_the_policy_and_the_grant() {
    let server = Server::start(Config::new().kind("closed", "client_publish = false")).await;
    let token = Token::client().grant(&["chat:*", "closed:*"], &["subscribe", "publish"]).mint();
    let mut client = ws::connect(server.public(), &token).await;
    let publish = |topic: &str| json!({"publish": {"topic": topic, "data": 1, "event_id": "one"}});
    client.refused(publish("closed:1"), "permission_denied").await;
    client.refused(publish("other:1"), "permission_denied").await;
    let first = client.request(publish("chat:1")).await;
    let again = client.request(publish("chat:1")).await;
    assert_eq!((&first["published"]["duplicate"], &again["published"]["duplicate"]), (&false.into(), &true.into()));
    assert_eq!(first["published"]["position"], again["published"]["position"]);
    assert_eq!(server.api().log_of("chat:1").await.len(), 1);
    for topic in ["closed:1", "other:1"] {
        assert!(server.api().log_of(topic).await.is_empty(), "{topic}");
    }
}

#[tokio::test]
async fn history_in_pages_both_ways() {
    let (server, mut client) = start().await;
    let topic = fresh_topic("history");
    let positions = server.api().publish_numbers(&topic, 1..=50).await;
    let data = |reply: &Value| -> Vec<Value> {
        let events = reply["history"]["events"].as_array().expect("events");
        events.iter().map(|event| event["data"].clone()).collect()
    };
    let mut ask = async |query: Value| {
        let mut history = query;
        history["topic"] = topic.clone().into();
        client.request(json!({"history": history})).await
    };
    let newest = ask(json!({"last": 3})).await;
    assert_eq!(data(&newest), numbers(48..=50));
    let page = ask(json!({"before": 48, "limit": 20})).await;
    let mut backward = data(&page);
    assert_eq!((backward.len(), &page["history"]["more"]), (20, &true.into()));
    backward.sort_by_key(Value::as_u64);
    assert_eq!(backward, numbers(28..=47));
    let page = ask(json!({"after": positions[9], "limit": 5})).await;
    assert_eq!(data(&page), numbers(11..=15));
    let page = ask(json!({"after": 48, "limit": 100})).await;
    assert_eq!((data(&page), &page["history"]["more"]), (numbers(49..=50), &false.into()));
    assert_eq!(page["history"]["position"].as_str(), positions.last().map(String::as_str));
}

#[tokio::test]
async fn reading_back_needs_the_grant_for_history() {
    let server = Server::start(Config::new()).await;
    let topic = fresh_topic("live");
    let positions = server.api().publish_numbers(&topic, 1..=5).await;
    let token = Token::client().grant(&[&topic], &["subscribe"]).mint();
    let mut client = ws::connect(server.public(), &token).await;
    client.refused(json!({"history": {"topic": topic}}), "permission_denied").await;
    client.refused(json!({"subscribe": {"topic": topic, "from": "start"}}), "permission_denied").await;
    client.refused(json!({"subscribe": {"topic": topic, "from": {"last": 1}}}), "permission_denied").await;
    // Continuing where one was cut off is part of listening.
    client.subscribe(&topic, positions[2].as_str()).await;
    assert_eq!(client.take(2).await, numbers(4..=5));
}

#[tokio::test]
async fn refresh_prolongs_a_session_and_takes_away_what_the_new_token_does_not_allow() {
    let (server, _) = start().await;
    let [kept, lost] = ["kept", "lost"].map(fresh_topic);
    let first_end = token::now() + 8;
    let mut client = ws::connect(server.public(), &Token::client().claim("exp", first_end.into()).mint()).await;
    client.subscribe(&kept, "now").await;
    client.subscribe(&lost, "now").await;
    let token = Token::client().grant(&[&kept], &["subscribe"]).expires_in(200).mint();
    let mut frames = vec![client.request(json!({"refresh": {"token": token}})).await, client.frame().await];
    frames.sort_by_key(|frame| frame.get("unsubscribed").is_some());
    assert!(frames[0]["refreshed"]["expires_in"].as_u64().is_some_and(|seconds| seconds > 150), "{frames:?}");
    assert_eq!(frames[1]["unsubscribed"]["topic"], lost, "{frames:?}");
    assert_eq!(frames[1]["unsubscribed"]["code"], 2501);

    client.refused(json!({"refresh": {"token": Token::client().user("mallory").mint()}}), "permission_denied").await;
    client.refused(json!({"refresh": {"token": "nonsense"}}), "malformed_token").await;
    // The first token's end passes; the session lives on.
    eventually("the first token to be over", PATIENCE, || {
        std::future::ready((token::now() > first_end + 1).then_some(()))
    })
    .await;
    server.api().publish_text(&lost, "unheard").await;
    server.api().publish_text(&kept, "heard").await;
    assert_eq!(client.event().await["data"], "heard");
}

#[tokio::test]
async fn pings_both_ways() {
    let server = Server::start(Config::new().session("ping_interval = \"2s\"")).await;
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    assert!(client.request(json!({"ping": {}})).await.get("pong").is_some());
    // Without an id there is an answer too, and the server's own ping comes unasked.
    client.send(&json!({"ping": {}})).await.expect("open");
    let (mut answers, mut pings) = (0, 0);
    while answers == 0 || pings == 0 {
        match within("a frame", client.receive()).await {
            ws::Received::Frame(frame) if frame == json!({"pong": {}}) => answers += 1,
            ws::Received::Frame(frame) if frame == json!({"ping": {}}) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers, 1);
}

#[tokio::test]
async fn several_commands_in_one_frame() {
    let (_server, mut client) = start().await;
    let topic = fresh_topic("batch");
    let lines = [
        json!({"id": 11, "subscribe": {"topic": topic}}).to_string(),
        json!({"id": 12, "publish": {"topic": topic, "data": 1}}).to_string(),
        "nonsense".to_owned(),
        json!({"id": 13, "publish": {"topic": topic, "data": 2}}).to_string(),
        String::new(),
        json!({"id": 14, "ping": {}}).to_string(),
    ];
    client.send_text(&lines.join("\n")).await.expect("open");
    let mut frames = Vec::new();
    while frames.len() < 7 {
        frames.push(client.frame().await);
    }
    let reply = |id: u64| frames.iter().find(|frame| frame["id"] == id).unwrap_or_else(|| panic!("{id} in {frames:?}"));
    assert!(reply(11).get("subscribed").is_some());
    assert!(reply(12).get("published").is_some() && reply(13).get("published").is_some());
    assert!(reply(14).get("pong").is_some());
    let data: Vec<_> =
        frames.iter().filter_map(|frame| frame.get("event")).map(|event| event["data"].clone()).collect();
    assert_eq!(data, numbers(1..=2));
    assert_eq!(frames.iter().filter(|frame| frame.get("error").is_some()).count(), 1, "{frames:?}");
}

#[tokio::test]
async fn a_gap_is_told() {
    let server = Server::start(Config::new().kind("short", "history = { max_events = 5 }")).await;
    let topic = fresh_topic("short");
    let positions = server.api().publish_numbers(&topic, 1..=20).await;
    let mut client = ws::connect(server.public(), &Token::client().mint()).await;
    client.subscribe(&topic, positions[3].as_str()).await;
    let gap = client.frame().await["gap"].clone();
    assert_eq!(
        (&gap["topic"], &gap["from"], &gap["to"], &gap["reason"]),
        (&topic.clone().into(), &5.into(), &15.into(), &"trimmed".into())
    );
    assert_eq!(client.take(5).await, numbers(16..=20));

    // A purge is a new life: a live reader hears of it, and so does one that comes back.
    server.api().delete(&format!("/v1/topics/{}/events", fanfare_tests::percent_encode(&topic))).await.ok();
    server.api().publish(&topic, Message::json(99)).await;
    let gap = client.frame().await;
    assert_eq!(gap["gap"]["reason"], "epoch", "{gap}");
    assert_eq!(client.event().await["data"], 99);
}

#[tokio::test]
async fn a_position_from_websocket_works_over_sse() {
    let (server, mut client) = start().await;
    let topic = fresh_topic("both");
    client.subscribe(&topic, "now").await;
    server.api().publish_numbers(&topic, 1..=3).await;
    client.take(2).await;
    let position = client.event().await["position"].as_str().expect("a position").to_owned();
    drop(client);
    server.api().publish_numbers(&topic, 4..=5).await;
    let stream = fanfare_tests::sse::subscribe(server.public(), &[&topic]).last_event_id(position);
    assert_eq!(stream.open().await.take(2).await, ["4", "5"]);
}
