//! The HTTP API: publishing in all its forms, reading back, and looking after topics and sessions.

use base64::Engine as _;
use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{Api, Config, Message, Server, fresh_topic, percent_encode, ws};
use http::Method;
use serde_json::{Value, json};

fn events_of(topic: &str) -> String {
    format!("/v1/topics/{}/events", percent_encode(topic))
}

fn data(page: &Value) -> Vec<Value> {
    page["events"].as_array().expect("events").iter().map(|event| event["data"].clone()).collect()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test]
async fn every_message_goes_to_every_topic() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let [a, b] = ["a", "b"].map(fresh_topic);
    let body = json!({"topics": [a, b], "messages": [{"data": 1, "id": "one"}, {"data": 2, "name": "two"}]});
    let answer = api.post("/v1/publish", &body).await.ok();
    let results = answer["results"].as_array().expect("results");
    let places: Vec<_> =
        results.iter().map(|r| (r["topic"].clone(), r["offset"].clone(), r["duplicate"].clone())).collect();
    let expected =
        [(&a, 1), (&a, 2), (&b, 1), (&b, 2)].map(|(topic, offset)| (json!(topic), json!(offset), json!(false)));
    assert_eq!(places, expected);
    for topic in [&a, &b] {
        let log = api.log_of(topic).await;
        assert_eq!(log.iter().map(|event| &event["data"]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((&log[0]["id"], &log[1]["name"]), (&"one".into(), &"two".into()));
        let positions: Vec<_> = log.iter().map(|event| &event["position"]).collect();
        let answered: Vec<_> = results.iter().filter(|r| r["topic"] == **topic).map(|r| &r["position"]).collect();
        assert_eq!(positions, answered);
    }
}

#[tokio::test]
async fn a_message_carries_what_it_was_given() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("full");
    let message = json!({
        "id": "order-42-paid", "name": "paid", "data": {"total": 12.50}, "key": "42", "headers": {"tenant-ref": "x", "x-note": "ü"},
        "occurred_at": 1_763_719_200_123_456_i64, "schema": "order.v1", "source": "shop",
    });
    api.post("/v1/publish", &json!({"topic": topic, "message": message})).await.ok();
    let event = api.log_of(&topic).await.remove(0);
    for (member, value) in message.as_object().expect("an object") {
        assert_eq!(event[member], *value, "{member}");
    }
    let age = fanfare_tests::token::now() - event["time"].as_i64().expect("a time") / 1_000_000;
    assert!((0..60).contains(&age), "{event}");
}

#[tokio::test]
async fn raw_bodies_of_any_type() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("raw");
    let every_byte: Vec<u8> = (0..=255).collect();
    for (content_type, body) in [
        ("application/json", b"{\"a\": [1, 2]}".to_vec()),
        ("application/vnd.order+json; charset=utf-8", b"[]".to_vec()),
        ("text/plain", "grüße\r\n".as_bytes().to_vec()),
        ("text/html; charset=utf-8", b"<p>".to_vec()),
        ("application/octet-stream", every_byte.clone()),
        ("image/png", vec![0x89]),
    ] {
        let request = api.request(Method::POST, &events_of(&topic)).header("content-type", content_type);
        let request =
            request.header("fanfare-event-name", "raw").header("fanfare-event-id", content_type.replace(';', "-"));
        api.must(request.body(body)).await.ok();
    }
    let log = api.log_of(&topic).await;
    let seen: Vec<_> = log.iter().map(|event| (event["encoding"].as_str(), event["data"].clone())).collect();
    let base64 = |bytes: &[u8]| json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    assert_eq!(
        seen,
        [
            (None, json!({"a": [1, 2]})),
            (None, json!([])),
            (Some("text"), json!("grüße\r\n")),
            (Some("text"), json!("<p>")),
            (Some("base64"), base64(&every_byte)),
            (Some("base64"), base64(&[0x89])),
        ]
    );
    assert!(log.iter().all(|event| event["name"] == "raw"));
    api.post_raw(&events_of(&topic), "application/json", "{").await.assert_problem(400, "invalid_json");
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_says_which_item_is_wrong() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("batch");
    let good = json!({"data": 1});
    for (body, at) in [
        (json!({"topic": topic, "messages": [good, {"data": 1, "name": "a\nb"}, good]}), "/messages/1"),
        (json!({"topic": topic, "messages": [good, good, {"nothing": 1}]}), "/messages/2"),
        (json!({"topic": topic, "messages": [{"data": "?", "encoding": "base64"}]}), "/messages/0"),
        (json!({"topics": [topic, "bad topic"], "message": good}), "/topics/1"),
        (json!({"topic": "bad topic", "message": good}), "/topic"),
        (json!({"topic": topic, "message": {"id": "x".repeat(200), "data": 1}}), "/message"),
    ] {
        let problem = api.post("/v1/publish", &body).await.assert_problem(400, "invalid_request");
        assert!(problem["at"].as_str().is_some_and(|pointer| pointer.starts_with(at)), "{problem} for {at}");
    }
    for body in [
        json!({"message": good}),
        json!({"topic": topic}),
        json!({"topic": topic, "messages": []}),
        json!({"topics": [], "message": good}),
        json!({"topic": topic, "topics": [topic], "message": good}),
        json!({"topic": topic, "message": good, "messages": [good]}),
        json!({"topic": topic, "message": good, "extra": 1}),
        json!([]),
    ] {
        api.post("/v1/publish", &body).await.assert_problem(400, "invalid_request");
    }
    let big = json!({"topic": topic, "messages": vec![good.clone(); 1001]});
    let answer = api.post("/v1/publish", &big).await;
    assert!(matches!(answer.status.as_u16(), 400 | 413), "{}: {:.200}", answer.status, answer.text);

    let narrow = api.clone().token(Some(Token::server().grant(&[&topic], &["publish"]).mint()));
    let body = json!({"topics": [topic, "foreign"], "message": good});
    narrow.post("/v1/publish", &body).await.assert_problem(403, "permission_denied");
    assert!(api.log_of(&topic).await.is_empty(), "nothing of a refused batch is stored");
}

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("same");
    let first = api.publish(&topic, Message::json(1).with("id", "e")).await;
    let again = api.publish(&topic, Message::json(2).with("id", "e")).await;
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&false.into(), &true.into()));
    for member in ["position", "offset", "time", "id"] {
        assert_eq!(first[member], again[member], "{member}");
    }
    let both = json!({"topic": topic, "messages": [{"id": "f", "data": 1}, {"id": "f", "data": 2}]});
    let both = api.post("/v1/publish", &both).await.ok();
    assert_eq!(both["results"][0]["position"], both["results"][1]["position"]);
    // Many at once: one of them wins.
    let publishes = (0..20).map(|n| api.publish(&topic, Message::json(n).with("id", "race")));
    let results = futures_util::future::join_all(publishes).await;
    assert_eq!(results.iter().filter(|result| result["duplicate"] == false).count(), 1);
    assert!(results.iter().all(|result| result["position"] == results[0]["position"]));
    assert_eq!(api.log_of(&topic).await.len(), 3);
    let elsewhere = api.publish(&fresh_topic("same"), Message::json(1).with("id", "e")).await;
    assert_eq!(elsewhere["duplicate"], false, "an id belongs to its topic");
}

#[tokio::test]
async fn the_idempotency_window_ends() {
    let server = Server::start(Config::new().topics("idempotency_window = \"1s\"")).await;
    let api = server.api();
    let topic = fresh_topic("window");
    api.publish(&topic, Message::json(1).with("id", "e")).await;
    fanfare_tests::eventually("the window to end", fanfare_tests::PATIENCE, || async {
        let again = api.publish(&topic, Message::json(2).with("id", "e")).await;
        (again["duplicate"] == false).then_some(())
    })
    .await;
    assert_eq!(api.log_of(&topic).await.len(), 2);
}

#[tokio::test]
async fn history_in_pages() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("pages");
    let positions = api.publish_numbers(&topic, 1..=250).await;
    let path = events_of(&topic);
    let get = async |query: &str| api.get(&format!("{path}?{query}")).await.ok();

    assert_eq!(data(&get("").await), numbers(1..=100), "a page of 100, oldest first");
    assert_eq!(data(&get("last=5").await), numbers(246..=250));
    assert_eq!(data(&get(&format!("from={}&limit=3", positions[9])).await), numbers(11..=13));
    assert_eq!(data(&get("from=10&limit=3").await), numbers(11..=13));
    assert_eq!(data(&get("since=2020-01-01T00:00:00Z&limit=2").await), numbers(1..=2));
    assert!(data(&get("since=2100-01-01T00:00:00Z").await).is_empty());
    assert!(data(&get("from=now").await).is_empty());

    let mut forward = Vec::new();
    let mut page = get("from=start&limit=99").await;
    loop {
        forward.extend(data(&page));
        if page["more"] == false {
            break;
        }
        page = get(&format!("from={}&limit=99", page["next"].as_str().expect("where the next page begins"))).await;
    }
    assert_eq!(forward, numbers(1..=250));

    let mut backward = Vec::new();
    let mut page = get("direction=backward&limit=99").await;
    loop {
        backward.extend(data(&page));
        if page["more"] == false {
            break;
        }
        let next = page["next"].as_str().expect("where the next page begins");
        page = get(&format!("from={next}&direction=backward&limit=99")).await;
    }
    backward.reverse();
    assert_eq!(backward, numbers(1..=250));
    let mut before = data(&get("before=100&limit=50").await);
    before.sort_by_key(Value::as_u64);
    assert_eq!(before, numbers(50..=99));

    for bad in [
        "limit=0",
        "limit=100000",
        "limit=x",
        "from=nonsense",
        "since=yesterday",
        "nothing=1",
        "limit=1&limit=2",
        "direction=up",
        "last=-1",
    ] {
        api.get(&format!("{path}?{bad}")).await.assert_problem(400, "invalid_request");
    }
    let without = api.clone().token(Some(Token::server().grant(&["*"], &["publish", "subscribe"]).mint()));
    without.get(&path).await.assert_problem(403, "permission_denied");
}

#[tokio::test]
async fn what_was_trimmed_is_told_of() {
    let server = Server::start(Config::new().kind("short", "history = { max_events = 10 }")).await;
    let api = server.api();
    let topic = fresh_topic("short");
    let positions = api.publish_numbers(&topic, 1..=30).await;
    let page = api.get(&format!("{}?from={}", events_of(&topic), positions[4])).await.ok();
    assert_eq!(data(&page), numbers(21..=30));
    assert_eq!(
        (&page["gap"]["from"], &page["gap"]["to"], &page["gap"]["reason"]),
        (&6.into(), &20.into(), &"trimmed".into())
    );
    let info = api.get(&format!("/v1/topics/{}", percent_encode(&topic))).await.ok();
    assert_eq!((&info["head"]["first"], &info["head"]["events"]), (&21.into(), &10.into()), "{info}");
    assert_eq!(info["policy"]["max_events"], 10);
}

#[tokio::test]
async fn topics_are_listed_in_pages() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let names: Vec<String> = (0..25).map(|n| format!("list:{n:02}")).collect();
    api.post("/v1/publish", &json!({"topics": names, "message": {"data": 1}})).await.ok();
    api.publish_text("other", "x").await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/topics?prefix=list:&limit=10{after}")).await.ok();
        let topics = page["topics"].as_array().expect("topics").iter();
        found.extend(topics.map(|entry| entry["topic"].as_str().expect("a name").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", percent_encode(next));
    }
    assert_eq!(found, names);
}

#[tokio::test]
async fn purge_begins_a_new_life() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let topic = fresh_topic("purge");
    let positions = api.publish_numbers(&topic, 1..=5).await;
    let cut = api.delete(&format!("{}?before=3", events_of(&topic))).await.ok();
    assert_eq!((&cut["head"]["first"], &cut["head"]["events"]), (&3.into(), &3.into()), "{cut}");
    assert_eq!(api.log_of(&topic).await.len(), 3);

    api.delete(&events_of(&topic)).await.ok();
    assert!(api.log_of(&topic).await.is_empty());
    let next = api.publish(&topic, Message::json(6).with("id", "new")).await;
    let epoch = |position: &str| position.split('.').next().map(str::to_owned);
    assert_ne!(epoch(next["position"].as_str().expect("a position")), epoch(&positions[0]));
    let mut stream = subscribe(server.public(), &[&topic]).last_event_id(positions[4].as_str()).open().await;
    assert_eq!(stream.control_event("fanfare.stream").await["state"], "gap");
    assert_eq!(stream.control_event("fanfare.gap").await["reason"], "epoch");
    assert_eq!(stream.take(1).await, ["6"]);

    let reader = api.clone().token(Some(Token::server().grant(&["*"], &["publish", "history"]).mint()));
    reader.delete(&events_of(&topic)).await.assert_problem(403, "permission_denied");
}

#[tokio::test]
async fn sessions_are_listed_counted_and_ended() {
    let server = Server::start(Config::new()).await;
    let api = server.api();
    let mut socket = ws::connect(server.public(), &Token::client().user("alice").mint()).await;
    let alice = subscribe(server.public(), &["a"]).token(Some(Token::client().user("alice").mint()));
    let mut stream = alice.open().await;
    let _bob = ws::connect(server.public(), &Token::client().user("bob").mint()).await;
    let page = api.get("/v1/sessions?user=alice").await.ok();
    let mut protocols: Vec<_> =
        page["sessions"].as_array().expect("sessions").iter().map(|s| s["protocol"].clone()).collect();
    protocols.sort_by_key(ToString::to_string);
    assert_eq!((protocols, &page["total"]), (vec![json!("sse"), json!("websocket")], &2.into()), "{page}");
    assert_eq!(api.get("/v1/sessions/count").await.ok()["count"], 3);

    let ended = api.delete("/v1/users/alice/sessions").await.ok();
    assert_eq!(ended["disconnected"], 2);
    let goodbye = stream.to_end().await;
    assert_eq!(goodbye.last().expect("a goodbye").json()["reason"], "disconnected");
    assert_eq!(socket.closed().await.1.code, Some(4004));
    fanfare_tests::eventually("only bob to be left", fanfare_tests::PATIENCE, || async {
        (api.get("/v1/sessions/count").await.ok()["count"] == 1).then_some(())
    })
    .await;
    let plain = api.clone().token(Some(Token::server().grant(&["*"], &["publish"]).mint()));
    plain.get("/v1/sessions").await.assert_problem(403, "permission_denied");
}

#[tokio::test]
async fn problems_and_pages_that_need_no_token() {
    let server = Server::start(Config::new()).await;
    let open = Api::with_token(server.admin(), None);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(open.get(path).await.status, 200, "{path}");
    }
    let document = open.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    for path in ["/v1/publish", "/v1/topics/{topic}/events", "/v1/topics", "/v1/sessions", "/livez"] {
        assert!(document["paths"].get(path).is_some(), "{path} is documented");
    }
    open.get("/v1/topics").await.assert_problem(401, "missing_credential");
    let api = server.api();
    api.get("/v1/nothing").await.assert_problem(404, "no_such_path");
    api.delete("/v1/publish").await.assert_problem(405, "method_not_allowed");
    api.post_raw("/v1/publish", "text/plain", "{}").await.assert_problem(415, "unsupported_media_type");
    api.post_raw("/v1/publish", "application/json", "{").await.assert_problem(400, "invalid_json");
    api.get("/v1/topics/a%00b").await.assert_problem(400, "invalid_request");
    api.get("/v1/topics/%FF").await.assert_problem(400, "invalid_request");

    // What belongs behind the firewall is not at the clients' door (S26).
    let public = Api::new(server.public());
    for path in ["/v1/topics", "/v1/sessions", "/metrics", "/readyz", "/openapi.json"] {
        assert_eq!(public.get(path).await.status, 404, "{path} on the public listener");
    }
}
