//! Who is there, told in a stream.

use std::time::Duration;

use fanfare_auth::{Action, Grant, MintRequest, Pattern};
use fanfare_model::{Tenant, Topic, TopicKey, UserId};
use fanfare_presence::Who;
use fanfare_session::{From, Whose};
use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, Server, data, server};

const PRESENCE: &str = "fanfare.presence";

fn key(topic: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(topic).unwrap())
}

fn who(session: &str) -> Who {
    Who { session: session.parse().unwrap(), user: Some(UserId::new("bob").unwrap()), info: None }
}

async fn enter(server: &Server, topic: &str, session: &str) {
    let data = serde_json::value::RawValue::from_string("{\n\"status\":\"here\"}".to_owned()).unwrap();
    server.node.presence.enter(&key(topic), &who(session), Some(data)).await.unwrap();
}

fn ids(members: &Value) -> Vec<&str> {
    members.as_array().unwrap().iter().map(|member| member["id"].as_str().unwrap()).collect()
}

/// The next change that is not in what was told before.
async fn change_after(client: &mut Client, told: &Value) -> Value {
    loop {
        let change = client.next(PRESENCE).await;
        if change["rev"].as_u64() > told["rev"].as_u64() {
            return change;
        }
    }
}

/// Who is in a topic now.
async fn members(server: &Server, topic: &str) -> Vec<String> {
    let members = server.node.presence.members(&key(topic), None, 100).await.unwrap();
    members.members.iter().map(|member| member.id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_who_is_there_and_what_changes() {
    let server = server();
    enter(&server, "chat:1", "s1").await;
    let mut client = server.get("topic=chat:1&presence=1").open().await;
    let snapshot = client.next(PRESENCE).await;
    assert_eq!(
        (&snapshot["topic"], &snapshot["count"], ids(&snapshot["members"])),
        (&json!("chat:1"), &json!(1), vec!["s1"])
    );
    assert_eq!(snapshot["members"][0]["data"], json!({"status": "here"}));

    enter(&server, "chat:1", "s2").await;
    let change = change_after(&mut client, &snapshot).await;
    assert!(change["topic"] == "chat:1" && ids(&change["join"]).contains(&"s2"), "{change}");
    server.node.presence.leave(&key("chat:1"), &"s1".parse().unwrap()).await.unwrap();
    assert_eq!(ids(&change_after(&mut client, &change).await["leave"]), ["s1"]);

    // It has nothing to do with the events and their cursor.
    let position = server.publish("chat:1", &["hello"]).await[0].to_string();
    client.frame().await;
    let events = crate::parser::parse(client.text().as_bytes());
    assert_eq!((data(&events), events.last().unwrap().id.as_str()), (vec!["hello"], position.as_str()));
    assert!(events.iter().filter(|event| event.event == PRESENCE).all(|event| event.id.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn several_topics_and_those_without_presence() {
    let server = server();
    let mut client = server.get("topic=news&topic=chat:1&topic=chat:2&presence=1").open().await;
    for topic in ["chat:1", "chat:2"] {
        assert_eq!(client.next(PRESENCE).await["topic"], topic);
    }
    enter(&server, "chat:2", "s").await;
    let change = client.next(PRESENCE).await;
    assert_eq!((&change["topic"], ids(&change["join"])), (&json!("chat:2"), vec!["s"]));
    server.publish("news", &["n"]).await;
    client.frame().await;
    let events = crate::parser::parse(client.text().as_bytes());
    assert_eq!(data(&events), ["n"]);
    assert!(events.last().unwrap().id.starts_with('~'), "a cursor over the topics of the events: {:?}", events.last());
}

#[tokio::test(start_paused = true)]
async fn lines_and_bodies() {
    let server = server();
    let body = r#"{"topics":["chat:1"],"presence":true}"#;
    let ask = server.get("").method(Method::POST).header("accept", "application/x-ndjson");
    let mut client = ask.body("application/json", body).open().await;
    let lines = client.lines(2).await;
    assert_eq!((&lines[1]["presence"]["topic"], &lines[1]["presence"]["members"]), (&json!("chat:1"), &json!([])));
    enter(&server, "chat:1", "s").await;
    let lines = client.lines(3).await;
    assert_eq!(ids(&lines[2]["presence"]["join"]), ["s"]);
    assert!(lines[2].get("cursor").is_none());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_see_who_is_there_is_refused() {
    let server = server();
    let listen = vec![Grant { topics: vec![Pattern::parse("*").unwrap()], allow: vec![Action::Subscribe] }];
    let token = server.mint(MintRequest { grants: listen, ..MintRequest::default() });
    for path in ["/v1/sse?topic=news&topic=chat:1&presence=1", "/v1/sse/presence?topic=chat:1"] {
        let refused = server.ask_at(Method::GET, path).bearer(&token).send().await;
        assert_eq!(refused.status(), 403, "{path}");
        assert_eq!(crate::server::json(refused).await["topic"], "chat:1");
    }
    let nothing = server.get("topic=news&presence=1").send().await;
    assert_eq!(nothing.status(), 400);
    assert!(server.node.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_missed_changes_is_told_the_members_again() {
    let server = server();
    let mut client = server.get("topic=chat:1&presence=1").open().await;
    client.next(PRESENCE).await;
    // Far more changes than the ring holds, each announced before the next.
    for n in 0..30 {
        enter(&server, "chat:1", &format!("s{n:02}")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut seen: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    let (mut rev, mut snapshots) = (0, 0);
    while seen.len() < 30 {
        let told = client.next(PRESENCE).await;
        let (list, is_snapshot) = if told["members"].is_array() { ("members", true) } else { ("join", false) };
        let told_rev = told["rev"].as_u64().unwrap();
        if is_snapshot {
            seen.clear();
            snapshots += 1;
        } else if told_rev > rev {
            assert!(told["prev"].as_u64().unwrap() <= rev, "a hole: {told} after {rev}");
        }
        rev = rev.max(told_rev);
        seen.extend(ids(&told[list]).into_iter().map(str::to_owned));
    }
    assert!(snapshots >= 1, "nothing was missed, so nothing was tested");
    assert_eq!(members(&server, "chat:1").await, seen.into_iter().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_client_reads_page_by_page() {
    let server = server();
    for n in 0..5 {
        enter(&server, "chat:1", &format!("s{n}")).await;
    }
    let read = async |query: &str| {
        let ask = server.ask_at(Method::GET, &format!("/v1/sse/presence?topic=chat:1{query}")).by("alice");
        let response = ask.header("origin", "https://app.example").send().await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        crate::server::json(response).await
    };
    let page = read("&limit=3").await;
    assert_eq!((ids(&page["members"]), &page["next"]), (vec!["s0", "s1", "s2"], &json!("s2")));
    let page = read("&limit=3&after=s2").await;
    assert_eq!((ids(&page["members"]), &page["next"]), (vec!["s3", "s4"], &Value::Null));
    for bad in ["&limit=0", "&limit=x"] {
        let path = format!("/v1/sse/presence?topic=chat:1{bad}");
        assert_eq!(server.ask_at(Method::GET, &path).by("alice").send().await.status(), 400);
    }
    let posted = server.ask_at(Method::POST, "/v1/sse/presence?topic=chat:1").by("alice").send().await;
    assert_eq!((posted.status().as_u16(), &posted.headers()["allow"]), (405, &"GET, HEAD, OPTIONS".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_in_a_room_and_leaves_a_while_after() {
    let server = server();
    let mut watcher = server.get("topic=room:1&presence=1").open().await;
    let own = watcher.header("fanfare-session").to_owned();
    assert_eq!(ids(&watcher.next(PRESENCE).await["members"]), [own.as_str()]);
    let guest = server.ask(Method::GET, "topic=room:1").by("bob").open().await;
    let id = guest.header("fanfare-session").to_owned();
    loop {
        let change = watcher.next(PRESENCE).await;
        if change["join"].is_array() && ids(&change["join"]).contains(&id.as_str()) {
            break;
        }
    }
    let before = tokio::time::Instant::now();
    drop(guest);
    assert_eq!(members(&server, "room:1").await.len(), 2, "it may come back");
    assert_eq!(ids(&watcher.next(PRESENCE).await["leave"]), [id.as_str()]);
    assert!(before.elapsed() >= Duration::from_secs(9), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_for_good_leaves_at_once() {
    let server = server();
    let mut guest = server.get("topic=room:1").open().await;
    assert_eq!(members(&server, "room:1").await.len(), 1);
    server.node.sessions.disconnect_user(&Tenant::default(), &UserId::new("alice").unwrap());
    guest.rest().await;
    assert!(members(&server, "room:1").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_application_ends_the_delivery_of_a_topic() {
    let server = server();
    let mut client = server.get("topic=room:1&topic=chat:1&presence=1").open().await;
    client.frame().await;
    let whose = Whose::User(Tenant::default(), UserId::new("alice").unwrap());
    let topic = Topic::new("room:1").unwrap();
    assert_eq!(server.node.sessions.unsubscribe(&whose, &topic), 1);
    // The topics of a stream are those it began with.
    server.node.sessions.subscribe(&whose, &Topic::new("news").unwrap(), &From::Now);
    let told = client.next("fanfare.unsubscribed").await;
    assert_eq!(told, json!({"topic": "room:1", "code": 2503, "reason": "ended by the server"}));
    server.publish("room:1", &["no"]).await;
    server.publish("news", &["no"]).await;
    server.publish("chat:1", &["yes"]).await;
    while data(&crate::parser::parse(client.text().as_bytes())).is_empty() {
        client.frame().await;
    }
    assert_eq!(data(&crate::parser::parse(client.text().as_bytes())), ["yes"]);
    while !members(&server, "room:1").await.is_empty() {
        tokio::task::yield_now().await;
    }
    // Again is nothing new.
    server.node.sessions.unsubscribe(&whose, &topic);
    server.publish("chat:1", &["still"]).await;
    while !client.text().contains("still") {
        client.frame().await;
    }
    assert_eq!(client.text().matches("fanfare.unsubscribed").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_tells_who_is_there() {
    let server = server();
    enter(&server, "chat:1", "s1").await;
    let poll = async { server.get("topic=chat:1&presence=1&poll=1").open().await.json().await };
    let join = async {
        while server.node.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        enter(&server, "chat:1", "s2").await;
    };
    let before = tokio::time::Instant::now();
    let (body, ()) = tokio::join!(poll, join);
    assert_eq!((&body["events"], ids(&body["presence"][0]["members"])), (&json!([]), vec!["s1", "s2"]));
    assert!(before.elapsed() < Duration::from_secs(5), "a change is news: {:?}", before.elapsed());
}
