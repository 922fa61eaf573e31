//! What the server, its configuration and the application want of sessions.

use std::sync::Arc;

use fanfare_auth::MintRequest;
use fanfare_model::{Data, Tenant, Topic, UserId};
use fanfare_session::quota::{self, Limits};
use fanfare_session::{Allow, Ask, From, Hook, Hooks, Verdict, Whose};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::support::{COOKIE, Choices, node};

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

#[tokio::test]
async fn the_application_subscribes_and_unsubscribes_a_users_sessions() {
    let node = node(Choices::default()).await;
    let (mut alice, mut tab, _bob) =
        (node.connect("alice").await, node.connect("alice").await, node.connect("bob").await);
    let (sessions, secret) = (&node.node.sessions, topic("secret:1"));
    let alices = Whose::User(Tenant::default(), user("alice"));
    assert_eq!(sessions.subscribe(&alices, &secret, &From::Now), 2);
    for peer in [&mut alice, &mut tab] {
        let said = peer.next().await;
        assert_eq!((said.get("id"), &said["subscribed"]["topic"]), (None, &json!("secret:1")), "{said}");
    }
    // It is the application's will, not that of the token.
    assert!(alice.ask("refresh", json!({"token": node.token("alice")})).await.get("refreshed").is_some());
    assert!(alice.next().await.get("resume").is_some());
    node.publish("secret:1", ["s".to_owned()]).await;
    for peer in [&mut alice, &mut tab] {
        assert_eq!(peer.events(1).await[0].1, "s");
    }
    assert_eq!(sessions.unsubscribe(&alices, &secret), 2);
    for peer in [&mut alice, &mut tab] {
        let ended = peer.next().await;
        assert_eq!(ended["unsubscribed"], json!({"topic": "secret:1", "code": 2503, "reason": "ended by the server"}));
    }
    let other = Whose::User(Tenant::new("other").unwrap(), user("alice"));
    assert_eq!(sessions.subscribe(&other, &secret, &From::Now), 0);
}

#[tokio::test]
async fn the_application_subscribes_one_session_from_a_place() {
    let node = node(Choices::default()).await;
    node.publish("secret:1", ["a".to_owned(), "b".to_owned()]).await;
    let (mut peer, connected) = node.connect_with(&node.token("alice")).await;
    let id = fanfare_model::SessionId::new(connected["session"].as_str().unwrap()).unwrap();
    let whose = Whose::Session(Tenant::default(), id);
    assert_eq!(node.node.sessions.subscribe(&whose, &topic("secret:1"), &From::Last(1)), 1);
    assert_eq!(peer.next().await["subscribed"]["state"], "replaying");
    assert_eq!(peer.events(1).await[0].1, "b");
    // Said again nothing happens, and nothing is said.
    node.node.sessions.subscribe(&whose, &topic("secret:1"), &From::Last(1));
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
}

#[tokio::test]
async fn a_personal_topic_needs_no_grant_and_stands_beside_those_of_the_token() {
    let session = fanfare_session::Options {
        personal_topic: Some("user:{user}".to_owned()),
        ..fanfare_session::Options::default()
    };
    let node = node(Choices { session, ..Choices::default() }).await;
    let request = MintRequest { subscribe: vec![topic("news"), topic("secret")], ..MintRequest::default() };
    let (mut peer, _) =
        node.connect_with(&node.mint("alice", &["news"], &[fanfare_auth::Action::Subscribe], request)).await;
    assert_eq!(peer.next().await["subscribed"]["topic"], "user:alice");
    assert_eq!(peer.next().await["subscribed"]["topic"], "news");
    let denied = peer.next().await;
    assert_eq!(denied["error"]["code"], "permission_denied", "{denied}");
    node.publish("user:alice", ["p".to_owned()]).await;
    assert_eq!(peer.events(1).await[0].1, "p");
}

#[tokio::test]
async fn one_session_of_a_user_where_there_may_be_one() {
    let session = fanfare_session::Options {
        single_per_user: true,
        sessions_per_user_max: 1,
        ..fanfare_session::Options::default()
    };
    let node = node(Choices { session, ..Choices::default() }).await;
    let (mut first, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    let mut second = node.connect("alice").await;
    let (code, disconnect) = first.disconnected().await;
    assert_eq!((code, &disconnect["reconnect"]), (4008, &json!(false)));
    drop(first);
    node.sessions_are(2).await;
    for peer in [&mut second, &mut bob] {
        assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
    }
}

#[tokio::test]
async fn limits_of_a_user_are_told_with_the_time_after_which_there_is_room() {
    let user = Limits {
        connections: Some(1),
        subscriptions: Some(1),
        publishes_per_second: Some(1),
        publishes_burst: Some(1),
        ..Limits::default()
    };
    let quotas = quota::Options { user, ..quota::Options::default() };
    let node = node(Choices { quotas, ..Choices::default() }).await;
    let (mut peer, connected) = node.connect_with(&node.token("alice")).await;
    let message = json!({"topic": "chat:1", "data": 1});
    assert!(peer.ask("publish", message.clone()).await.get("published").is_some());
    // Not the second one on a machine that was busy for a second meanwhile.
    let mut refused = peer.ask("publish", message.clone()).await;
    for _ in 0..10 {
        if refused.get("published").is_some() {
            refused = peer.ask("publish", message.clone()).await;
        }
    }
    let error = &refused["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("rate_limited"), &json!(true)), "{refused}");
    assert!((1..=1000).contains(&error["retry_after_ms"].as_u64().unwrap()));
    peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    let full = peer.ask("subscribe", json!({"topic": "chat:2"})).await;
    assert_eq!((&full["error"]["code"], &full["error"]["retryable"]), (&json!("rate_limited"), &json!(false)));
    // There is room when one is given up.
    peer.ask("unsubscribe", json!({"topic": "chat:1"})).await;
    assert!(peer.ask("subscribe", json!({"topic": "chat:2"})).await.get("subscribed").is_some());
    let mut second = node.open().await;
    let refused = second.ask("connect", json!({"token": node.token("alice")})).await;
    assert_eq!(refused["error"]["code"], "rate_limited");
    assert_eq!(second.disconnected().await.0, 4007);
    // Who takes its own place needs no other.
    let resume = connected["resume"].clone();
    let mut third = node.open().await;
    let said = third.ask("connect", json!({"resume": resume})).await;
    assert_eq!(said["connected"]["resumed"], true, "{said}");
    assert_eq!(peer.disconnected().await.0, 4008);
}

/// An application that answers as `0` says.
struct Application(fn(&Ask) -> Verdict);

impl Hooks for Application {
    fn wants(&self, _: Hook, _: Option<&Topic>) -> bool {
        true
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Verdict> {
        let verdict = (self.0)(&ask);
        async move { verdict }.boxed()
    }
}

fn with(application: fn(&Ask) -> Verdict) -> Choices {
    Choices { hooks: Some(Arc::new(Application(application))), ..Choices::default() }
}

fn yes() -> Verdict {
    Verdict::Allow(Allow::default())
}

fn no(reason: &str, disconnect: bool) -> Verdict {
    Verdict::Deny { reason: reason.to_owned(), disconnect }
}

#[tokio::test]
async fn the_application_is_asked_and_its_word_is_last() {
    let node = node(with(|ask| {
        assert_eq!(ask.user.as_ref().map(UserId::as_str), Some("alice"));
        assert!(ask.session.is_some());
        match (ask.hook, ask.topic.as_ref().map(Topic::as_str)) {
            (Hook::Connect, None) => Verdict::Allow(Allow { subscribe: vec![topic("secret:1")], ..Allow::default() }),
            (Hook::Subscribe, Some("chat:closed")) => no("closed on Sundays", false),
            (Hook::Publish, Some("chat:1")) => {
                let draft = ask.draft.clone().map(|draft| fanfare_model::Draft {
                    data: Data::json(r#"{"text":"nicer"}"#).unwrap(),
                    user: Some(user("mallory")),
                    ..draft
                });
                Verdict::Allow(Allow { draft, ..Allow::default() })
            }
            (Hook::Publish, Some("chat:2")) => no("spam", true),
            (Hook::Refresh, None) => no("not any more", false),
            _ => yes(),
        }
    }))
    .await;
    let mut peer = node.connect("alice").await;
    assert_eq!(peer.next().await["subscribed"]["topic"], "secret:1");
    let closed = peer.ask("subscribe", json!({"topic": "chat:closed"})).await;
    let error = json!({"code": "denied_by_application", "message": "closed on Sundays", "retryable": false});
    assert_eq!(closed["error"], error);
    // What the token does not allow the application is not asked about.
    assert_eq!(peer.ask("subscribe", json!({"topic": "other"})).await["error"]["code"], "permission_denied");
    peer.ask("subscribe", json!({"topic": "chat:1"})).await;
    peer.send(json!({"publish": {"topic": "chat:1", "data": {"text": "rude"}}}).to_string()).await;
    let event = peer.next().await["event"].clone();
    // It may put another event in its place, not another author.
    assert_eq!((&event["data"], &event["user"]), (&json!({"text": "nicer"}), &json!("alice")));
    let refused = peer.ask("refresh", json!({"token": node.token("alice")})).await;
    assert_eq!(refused["error"]["message"], "not any more");
    assert_eq!(peer.ask("publish", json!({"topic": "chat:2", "data": 1})).await["error"]["message"], "spam");
    assert_eq!(peer.disconnected().await.0, 4004);
}

#[tokio::test]
async fn who_is_not_let_in_by_the_application_is_told() {
    for (application, code, closes) in [
        ((|_: &Ask| no("not today", false)) as fn(&Ask) -> Verdict, "denied_by_application", 4004),
        (|_| Verdict::Unavailable, "unavailable", 3007),
    ] {
        let node = node(with(application)).await;
        let mut peer = node.open().await;
        let said = peer.ask("connect", json!({"token": node.token("alice")})).await;
        assert_eq!(said["error"]["code"], code, "{said}");
        assert_eq!(peer.disconnected().await.0, closes);
        assert!(node.node.sessions.is_empty());
    }
}

#[tokio::test]
async fn a_token_in_a_cookie_counts_on_a_page_that_may_connect() {
    let node = node(Choices::default()).await;
    let (origin, cookie) = (format!("http://{}", node.address), format!("{COOKIE}={}", node.token("alice")));
    let mut peer = node.try_open(&[("origin", &origin), ("cookie", &cookie)]).await.unwrap();
    assert_eq!(peer.next().await["connected"]["user"], "alice");
    // Without a page there is no saying whose cookie it is.
    let mut peer = node.try_open(&[("cookie", &cookie)]).await.unwrap();
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
    assert_eq!(peer.ask("subscribe", json!({"topic": "news"})).await["error"]["code"], "unauthenticated");
    // One that is no good is told in words, which a page can read.
    let cookie = format!("{COOKIE}=nonsense");
    let mut peer = node.try_open(&[("origin", &origin), ("cookie", &cookie)]).await.unwrap();
    let said: Value = peer.next().await;
    assert!(said.get("error").is_some(), "{said}");
    assert_eq!(peer.disconnected().await.0, 4001);
}
