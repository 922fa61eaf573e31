//! Sessions that go on, that are warned, and that receive what they did not ask for.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{Action, Grant, MintRequest, Pattern, Revocation};
use fanfare_gateway_sse::Options;
use fanfare_model::{Tenant, Topic, TopicKey, UserId};
use fanfare_session::{Allow, Ask, Hook, Hooks, Verdict};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, Others, Server, data, server, server_among, server_with};

const RESUME: &str = "fanfare.resume";

fn token_of(told: &Value) -> String {
    told["token"].as_str().unwrap().to_owned()
}

async fn resumable(server: &Server, query: &str) -> (Client, String) {
    let mut client = server.get(&format!("{query}&resume=1")).open().await;
    let told = client.next(RESUME).await;
    assert_eq!(told["expires_in"], 120);
    let token = token_of(&told);
    assert!(token.starts_with("fr1."));
    (client, token)
}

fn farewell(client: &Client) -> Value {
    let events = crate::parser::parse(client.text().as_bytes());
    let last = events.last().unwrap();
    assert_eq!(last.event, "fanfare.disconnect");
    serde_json::from_str(&last.data).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_without_its_credential() {
    let server = server();
    let (mut client, token) = resumable(&server, "topic=a").await;
    let id = client.header("fanfare-session").to_owned();
    let position = server.publish("a", &["1"]).await[0].to_string();
    client.frame().await;
    drop(client);
    server.publish("a", &["2"]).await;

    // From a URL, as a native `EventSource` would.
    let mut again = server.ask(Method::GET, &format!("topic=a&resume={token}&last_event_id={position}")).open().await;
    assert_eq!((again.header("fanfare-session"), again.header("fanfare-stream-state")), (id.as_str(), "continue"));
    let next = token_of(&again.next(RESUME).await);
    while !again.text().contains("data: 2") {
        again.frame().await;
    }
    // In a header, while the earlier connection is still there: it ends, and is not to come back.
    let lines = server.ask(Method::GET, "topic=a").bearer(&next).header("accept", "application/x-ndjson");
    let mut lines = lines.open().await;
    assert_eq!(lines.header("fanfare-session"), id);
    assert!(lines.lines(2).await[1]["resume"]["token"].is_string());
    again.rest().await;
    assert_eq!((&farewell(&again)["code"], &farewell(&again)["reconnect"]), (&json!(4008), &json!(false)));
    assert!(again.text().contains("id: over\n"));
    assert_eq!(server.node.sessions.len(), 1);
    drop(again);
    assert_eq!(server.node.sessions.len(), 1, "the end of the earlier connection is not the end of the session");
}

#[tokio::test(start_paused = true)]
async fn who_did_not_ask_for_resume_tokens_gets_none() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    assert_eq!(client.frame().await.unwrap(), ":\nretry: 3000\n");
    server.clock.advance(Duration::from_secs(60));
    for _ in 0..5 {
        assert_eq!(client.frame().await.unwrap(), ":\n");
    }
}

#[tokio::test(start_paused = true)]
async fn resume_tokens_are_renewed_before_they_end() {
    let server = server();
    let (mut client, first) = resumable(&server, "topic=a").await;
    let mut renewed = Vec::new();
    for _ in 0..2 {
        server.clock.advance(Duration::from_secs(60));
        let before = tokio::time::Instant::now();
        renewed.push(token_of(&client.next(RESUME).await));
        assert!(before.elapsed() <= Duration::from_secs(60), "{:?}", before.elapsed());
    }
    drop(client);
    // The first has ended, the last has not.
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.ask(Method::GET, "topic=a").bearer(&first).send().await.status(), 401);
    drop(server.ask(Method::GET, "topic=a").bearer(&renewed[1]).open().await);
}

#[tokio::test(start_paused = true)]
async fn a_resume_does_not_outlive_what_it_came_from() {
    let server = server();
    let (client, token) = resumable(&server, "topic=a").await;
    drop(client);
    let block = Revocation::Block { tenant: Tenant::default(), user: UserId::new("alice").unwrap() };
    server.node.auth.revoke(block).unwrap();
    assert_eq!(server.ask(Method::GET, &format!("topic=a&resume={token}")).send().await.status(), 401);
    assert_eq!(server.ask(Method::GET, "topic=a&resume=fr1.nonsense").send().await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_stream_ends() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    client.frame().await;
    server.clock.advance(Duration::from_secs(1));
    let (tenant, user) = (Tenant::default(), UserId::new("alice").unwrap());
    let revocation = Revocation::UserTokens { tenant, user, issued_before: server.clock_now() };
    server.node.auth.revoke(revocation).unwrap();
    client.rest().await;
    assert_eq!(farewell(&client)["code"], 4003);
}

#[tokio::test(start_paused = true)]
async fn presence_goes_on_with_the_session() {
    let server = server();
    let (client, token) = resumable(&server, "topic=room:1").await;
    let id = client.header("fanfare-session").to_owned();
    drop(client);
    let key = TopicKey::new(Tenant::default(), Topic::new("room:1").unwrap());
    let since = async || server.node.presence.members(&key, None, 10).await.unwrap().members[0].since;
    let joined = since().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    server.clock.advance(Duration::from_secs(8));
    let mut again = server.ask(Method::GET, "topic=room:1").bearer(&token).open().await;
    assert_eq!(again.header("fanfare-session"), id);
    // Beyond the grace time, which has been called off: two heartbeats.
    for _ in 0..3 {
        again.frame().await;
    }
    assert_eq!(since().await, joined, "it was never gone");
}

#[tokio::test(start_paused = true)]
async fn long_polls_are_one_session_with_resume_tokens() {
    let server = server();
    server.publish("room:1", &["1"]).await;
    let mut poll = server.get("topic=room:1&poll=1&from=start&resume=1").open().await;
    let id = poll.header("fanfare-session").to_owned();
    let first = poll.json().await;
    let token = token_of(&first["resume"]);
    server.publish("room:1", &["2"]).await;
    let ask = server.ask(Method::GET, "topic=room:1&poll=1").bearer(&token);
    let mut poll = ask.header("last-event-id", first["cursor"].as_str().unwrap()).open().await;
    assert_eq!(poll.header("fanfare-session"), id);
    let second = poll.json().await;
    assert_eq!(second["events"][0]["data"], "2");
    assert!(second["resume"]["token"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_warned_before_its_token_ends() {
    let server = server();
    let mut client = server.get("topic=a").open().await;
    client.frame().await;
    server.clock.advance(Duration::from_secs(60 * 60 - 30));
    let told = client.next("fanfare.expiring").await;
    assert!((28..=30).contains(&told["expires_in"].as_u64().unwrap()), "{told}");
    server.publish("a", &["still here"]).await;
    while !client.text().contains("still here") {
        client.frame().await;
    }
    server.clock.advance(Duration::from_secs(30));
    client.rest().await;
    assert_eq!(farewell(&client)["reason"], "token_expired");
    assert_eq!(client.text().matches("fanfare.expiring").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn topics_that_a_token_names_are_received_without_asking() {
    let server = server();
    let grants = vec![Grant {
        topics: vec![Pattern::parse("news").unwrap(), Pattern::parse("a").unwrap()],
        allow: vec![Action::Subscribe],
    }];
    let subscribe = ["news", "secret"].map(|name| Topic::new(name).unwrap()).to_vec();
    let token = server.mint(MintRequest { grants, subscribe, ..MintRequest::default() });
    let mut client = server.ask(Method::GET, "").bearer(&token).open().await;
    let told = client.next("fanfare.unsubscribed").await;
    assert_eq!((&told["topic"], &told["code"]), (&json!("secret"), &json!(2501)));
    let id = server.publish("news", &["1"]).await[0].to_string();
    server.publish("secret", &["no"]).await;
    client.frame().await;
    assert_eq!(data(&crate::parser::parse(client.text().as_bytes())), ["1"]);

    // Together with what is asked for, and resumed with it.
    let mut both = server.ask(Method::GET, "topic=a").bearer(&token).open().await;
    both.frame().await;
    server.publish("news", &["2"]).await;
    server.publish("a", &["3"]).await;
    while data(&crate::parser::parse(both.text().as_bytes())).len() < 2 {
        both.frame().await;
    }
    let events = crate::parser::parse(both.text().as_bytes());
    let first = events.iter().find(|event| event.data == "2" || event.data == "3").unwrap();
    let mut expected = vec![if first.data == "2" { "3" } else { "2" }, "4"];
    expected.sort_unstable();
    let after_first = first.id.clone();
    drop(both);
    server.publish("news", &["4"]).await;
    let mut again =
        server.ask(Method::GET, "topic=a").bearer(&token).header("last-event-id", &after_first).open().await;
    assert_eq!(again.header("fanfare-stream-state"), "continue");
    while data(&crate::parser::parse(again.text().as_bytes())).len() < 2 {
        again.frame().await;
    }
    let events = crate::parser::parse(again.text().as_bytes());
    let mut rest = data(&events);
    rest.sort_unstable();
    assert_eq!(rest, expected);
    // A position alone belongs to the topic that is asked for.
    let alone = server.ask(Method::GET, "topic=news").bearer(&token).header("last-event-id", &id).open().await;
    assert_eq!(alone.header("fanfare-stream-state"), "continue");
}

#[tokio::test(start_paused = true)]
async fn a_user_has_a_topic_of_their_own() {
    let session = fanfare_session::Options {
        personal_topic: Some("user:{user}".to_owned()),
        ..fanfare_session::Options::default()
    };
    let server = server_with(Options::default(), session);
    let none = MintRequest { user: Some(UserId::new("bob").unwrap()), ..MintRequest::default() };
    let token = server.mint(none);
    let mut client = server.ask(Method::GET, "").bearer(&token).open().await;
    client.frame().await;
    server.publish("user:alice", &["not for bob"]).await;
    server.publish("user:bob", &["for bob"]).await;
    assert_eq!(data(&client.events(1).await), ["for bob"]);
    // Nobody's stream without a topic is refused.
    assert_eq!(server.ask(Method::GET, "").send().await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_user_may_have_one_session_only() {
    let session = fanfare_session::Options { single_per_user: true, ..fanfare_session::Options::default() };
    let server = server_with(Options::default(), session);
    let mut first = server.get("topic=a").open().await;
    let _second = server.get("topic=a").open().await;
    first.rest().await;
    assert_eq!(farewell(&first)["reason"], "replaced");
    drop(first);
    assert_eq!(server.node.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_for_streams() {
    let limits = json!({"user": {"connections": 1, "subscriptions": 2}});
    let others = Others { limits: serde_json::from_value(limits).unwrap(), ..Others::default() };
    let server = server_among(Options::default(), fanfare_session::Options::default(), others);
    let refused = server.get("topic=a&topic=b&topic=c").send().await;
    assert_eq!((refused.status().as_u16(), crate::server::json(refused).await["topic"].clone()), (429, json!("c")));
    let one = server.get("topic=a&topic=b").open().await;
    let second = server.get("topic=a").send().await;
    assert_eq!(second.status(), 429);
    assert_eq!(crate::server::json(second).await["limit"], "user_connections");
    drop(one);
    drop(server.get("topic=a&topic=b").open().await);
}

/// An application that gives everybody `gift`, keeps them out of `secret:*`, and cannot be asked about `lost:*`.
struct Application;

impl Hooks for Application {
    fn wants(&self, hook: Hook, _: Option<&Topic>) -> bool {
        matches!(hook, Hook::Connect | Hook::Subscribe)
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Verdict> {
        let verdict = match ask.topic.as_ref().map(Topic::kind) {
            None if ask.user.is_none() => Verdict::Deny { reason: "members only".to_owned(), disconnect: false },
            None => Verdict::Allow(Allow { subscribe: vec![Topic::new("gift").unwrap()], draft: None }),
            Some("secret") => Verdict::Deny { reason: "not for you".to_owned(), disconnect: false },
            Some("lost") => Verdict::Unavailable,
            Some(_) => Verdict::Allow(Allow::default()),
        };
        ready(verdict).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_has_a_say() {
    let others = Others { hooks: Some(Arc::new(Application)), ..Others::default() };
    let server = server_among(Options::default(), fanfare_session::Options::default(), others);
    let mut client = server.get("").open().await;
    client.frame().await;
    server.publish("gift", &["for everybody"]).await;
    assert_eq!(data(&client.events(1).await), ["for everybody"]);

    let refused = async |ask: crate::server::Ask<'_>| {
        let response = ask.send().await;
        (response.status().as_u16(), crate::server::json(response).await)
    };
    let (status, problem) = refused(server.get("topic=a&topic=secret:1")).await;
    assert_eq!(
        (status, &problem["code"], &problem["detail"]),
        (403, &json!("denied_by_application"), &json!("not for you"))
    );
    assert_eq!(problem["topic"], "secret:1");
    let (status, problem) = refused(server.ask(Method::GET, "topic=open:1")).await;
    assert_eq!((status, &problem["detail"]), (403, &json!("members only")));
    let (status, problem) = refused(server.get("topic=lost:1")).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    assert!(problem["retry_after_ms"].is_u64());
    // Who sees no status is told in a stream.
    let ticket = server.ask_at(Method::POST, "/v1/sse/ticket").by("alice").send().await;
    let ticket = crate::server::json(ticket).await["ticket"].as_str().unwrap().to_owned();
    let mut away = server.ask(Method::GET, &format!("topic=lost:1&ticket={ticket}")).open().await;
    away.rest().await;
    assert_eq!((&farewell(&away)["reason"], &farewell(&away)["reconnect"]), (&json!("unavailable"), &json!(true)));
    assert_eq!(server.node.sessions.len(), 1);
}
