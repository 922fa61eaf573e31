//! Who is there: told the same over every transport.

use std::collections::BTreeMap;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Listen, Listener, Server, Transport, fresh_topic};
use serde_json::{Value, json};

use super::over_every_transport;

fn config() -> Config {
    Config::new().kind("room", "presence = { grace = \"1s\", flush = \"50ms\" }")
}

fn token(user: &str) -> String {
    Token::client().user(user).grant(&["*"], &["subscribe", "publish", "history", "presence"]).mint()
}

/// What a watcher knows, from the snapshot and the differences.
#[derive(Debug, Default)]
struct Known {
    rev: u64,
    members: BTreeMap<String, Value>,
}

impl Known {
    fn apply(&mut self, told: &Value) {
        if let Some(prev) = told["prev"].as_u64() {
            if told["rev"].as_u64().expect("a revision") <= self.rev {
                return;
            }
            assert_eq!(prev, self.rev, "no difference was lost: {told}");
        } else {
            self.members.clear();
        }
        self.rev = told["rev"].as_u64().expect("a revision");
        let each = |list: &str| told[list].as_array().cloned().unwrap_or_default();
        for member in each("members").into_iter().chain(each("join")).chain(each("update")) {
            self.members.insert(member["id"].as_str().expect("an id").to_owned(), member);
        }
        for member in each("leave") {
            self.members.remove(member["id"].as_str().expect("an id"));
        }
        assert_eq!(told["count"].as_u64(), Some(self.members.len() as u64), "{told}");
    }

    fn users(&self) -> Vec<&str> {
        let mut users: Vec<_> = self.members.values().filter_map(|member| member["user"].as_str()).collect();
        users.sort_unstable();
        users
    }

    /// Listens until it knows of exactly these users.
    async fn until(&mut self, watcher: &mut Listener, users: &[&str]) {
        while self.users() != users {
            self.apply(&watcher.presence().await);
        }
    }
}

/// A watcher on any transport sees who is there, who comes, changes and goes.
async fn a_watcher_sees_who_comes_and_goes(transport: Transport) {
    let server = Server::start(config()).await;
    let topic = fresh_topic("room");
    let enter = |data: Value| json!({"presence": {"topic": topic, "enter": data}});
    let mut alice = Transport::WsJson.listen(server.public(), &Listen::to(&topic, token("alice"))).await;
    alice.request(enter(json!({"status": "here"}))).await.expect("alice may enter");

    let ask = Listen::to(&topic, token("watcher")).with_presence();
    let mut watcher = transport.listen(server.public(), &ask).await;
    let mut known = Known::default();
    known.apply(&watcher.presence().await);
    known.until(&mut watcher, &["alice"]).await;
    assert_eq!(known.members.values().next().expect("alice")["data"], json!({"status": "here"}), "{transport}");

    let mut bob = Transport::GrpcSession.listen(server.public(), &Listen::to(&topic, token("bob"))).await;
    bob.request(enter(json!({"a": 1, "b": 2}))).await.expect("bob may enter");
    known.until(&mut watcher, &["alice", "bob"]).await;
    bob.request(json!({"presence": {"topic": topic, "update": {"a": null, "c": 3}}})).await.expect("he is there");
    known.apply(&watcher.presence().await);
    let of_bob = known.members.values().find(|member| member["user"] == "bob").expect("bob");
    assert_eq!(of_bob["data"], json!({"b": 2, "c": 3}), "{transport}: merged");

    alice.request(json!({"presence": {"topic": topic, "leave": {}}})).await.expect("she was there");
    known.until(&mut watcher, &["bob"]).await;
    // Cut off: he is held for the grace, then gone.
    drop(bob);
    known.until(&mut watcher, &[]).await;

    let path = format!("/v1/topics/{}/presence", fanfare_tests::percent_encode(&topic));
    assert_eq!(server.api().get(&path).await.ok()["count"], 0, "{transport}");
}

/// Those who may not know are not told.
async fn presence_needs_its_own_grant(transport: Transport) {
    let server = Server::start(config()).await;
    let topic = fresh_topic("room");
    let token = Token::client().grant(&["*"], &["subscribe"]).mint();
    let ask = Listen::to(&topic, token).with_presence();
    let refused = transport.try_listen(server.public(), &ask).await;
    assert_eq!(refused.err().as_deref(), Some("permission_denied"), "{transport}");
}

over_every_transport!(a_watcher_sees_who_comes_and_goes, presence_needs_its_own_grant);
