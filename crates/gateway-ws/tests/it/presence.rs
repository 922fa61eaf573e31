//! Who is there.

use fanfare_auth::Action;
use fanfare_bus::HubOptions;
use fanfare_model::{Data, Duration, Tenant, Topic};
use serde_json::{Value, json};

use crate::support::{Choices, Peer, TestNode, node};

impl Peer {
    /// The next thing said, which must be about presence.
    async fn presence(&mut self) -> Value {
        let said = self.next().await;
        said.get("presence").unwrap_or_else(|| panic!("not presence: {said}")).clone()
    }

    /// Subscribes to see who is there; the members there are.
    async fn watch(&mut self, topic: &str) -> Value {
        let subscribed = self.ask("subscribe", json!({"topic": topic, "presence": true})).await;
        assert_eq!(subscribed["subscribed"]["topic"], topic, "{subscribed}");
        self.presence().await
    }
}

impl TestNode {
    /// The users that are members of `topic`, sorted.
    async fn users_in(&self, topic: &str) -> Vec<String> {
        let mut peer = self.connect("looker").await;
        let said = peer.ask("presence", json!({"topic": topic, "read": {}})).await;
        let members = said["presence"]["members"].as_array().unwrap_or_else(|| panic!("{said}")).clone();
        let mut users: Vec<_> = members.iter().map(|member| member["user"].as_str().unwrap().to_owned()).collect();
        users.sort();
        users
    }

    /// Waits until exactly these users are members of `topic`.
    async fn users_become(&self, topic: &str, users: &[&str]) {
        let reached = async { while self.users_in(topic).await != users {} };
        tokio::time::timeout(crate::support::PATIENCE, reached).await.expect("these members");
    }
}

#[tokio::test]
async fn members_first_then_every_change() {
    let node = node(Choices::default()).await;
    let (mut alice, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    let before = alice.watch("chat:1").await;
    assert_eq!((&before["topic"], &before["count"], &before["members"]), (&json!("chat:1"), &json!(0), &json!([])));
    let said = bob.ask("presence", json!({"topic": "chat:1", "enter": {"status": "typing"}})).await;
    assert_eq!(said["presence"]["topic"], "chat:1", "{said}");
    let join = alice.presence().await;
    assert_eq!((&join["topic"], &join["count"]), (&json!("chat:1"), &json!(1)));
    assert_eq!(join["prev"], before["rev"]);
    let member = &join["join"][0];
    assert_eq!((&member["user"], &member["data"]), (&json!("bob"), &json!({"status": "typing"})));
    bob.ask("presence", json!({"topic": "chat:1", "update": {"status": null, "mood": "good"}})).await;
    let update = alice.presence().await;
    assert_eq!((&update["prev"], &update["update"][0]["data"]), (&join["rev"], &json!({"mood": "good"})));
    // Whoever comes later gets the same as a whole.
    let members = node.connect("carol").await.watch("chat:1").await;
    assert_eq!((&members["rev"], &members["members"][0]["data"]), (&update["rev"], &json!({"mood": "good"})));
    bob.ask("presence", json!({"topic": "chat:1", "leave": {}})).await;
    let leave = alice.presence().await;
    assert_eq!((&leave["count"], &leave["leave"][0]["id"]), (&json!(0), &member["id"]));
}

#[tokio::test]
async fn pages_of_members() {
    let node = node(Choices::default()).await;
    let mut peers = Vec::new();
    for user in ["a", "b", "c"] {
        let mut peer = node.connect(user).await;
        peer.ask("presence", json!({"topic": "chat:1", "enter": null})).await;
        peers.push(peer);
    }
    let (mut users, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = peers[0].ask("presence", json!({"topic": "chat:1", "read": {"limit": 2, "after": after}})).await;
        let page = &page["presence"];
        assert_eq!(page["count"], 3);
        users.extend(page["members"].as_array().unwrap().iter().map(|member| member["user"].clone()));
        match page.get("next") {
            Some(next) => after = next.clone(),
            None => break,
        }
    }
    users.sort_by_key(ToString::to_string);
    assert_eq!(users, ["a", "b", "c"]);
}

#[tokio::test]
async fn presence_needs_its_grant() {
    let node = node(Choices::default()).await;
    let token = node.token_to("alice", &["chat:*"], &[Action::Subscribe]);
    let (mut peer, _) = node.connect_with(&token).await;
    for body in [
        json!({"topic": "chat:1", "enter": {}}),
        json!({"topic": "chat:1", "update": {}}),
        json!({"topic": "chat:1", "read": {}}),
    ] {
        assert_eq!(peer.ask("presence", body.clone()).await["error"]["code"], "permission_denied", "{body}");
    }
    let denied = peer.ask("subscribe", json!({"topic": "chat:1", "presence": true})).await;
    assert_eq!(denied["error"]["code"], "permission_denied");
    // All of it or nothing: it is not subscribed either.
    assert_eq!(peer.ask("unsubscribe", json!({"topic": "chat:1"})).await["error"]["code"], "not_found");
    // Where nobody is present, nobody can be.
    let mut bob = node.connect_with(&node.token_for("bob", &["news"])).await.0;
    let nowhere = bob.ask("presence", json!({"topic": "news", "enter": {}})).await;
    assert_eq!(nowhere["error"]["code"], "invalid_request", "{nowhere}");
    let refused = bob.ask("subscribe", json!({"topic": "news", "presence": true})).await;
    assert_eq!(refused["error"]["code"], "invalid_request", "{refused}");
    assert_eq!(bob.ask("subscribe", json!({"topic": "news"})).await["subscribed"]["topic"], "news");
}

#[tokio::test]
async fn listening_is_being_there_where_the_policy_says_so() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.ask("subscribe", json!({"topic": "room:1"})).await;
    assert_eq!(node.users_in("room:1").await, ["alice"]);
    peer.ask("unsubscribe", json!({"topic": "room:1"})).await;
    assert!(node.users_in("room:1").await.is_empty());
    // Who may listen and not be there listens unseen.
    let token = node.token_to("ghost", &["room:*"], &[Action::Subscribe]);
    let (mut ghost, _) = node.connect_with(&token).await;
    assert_eq!(ghost.ask("subscribe", json!({"topic": "room:1"})).await["subscribed"]["topic"], "room:1");
    assert!(node.users_in("room:1").await.is_empty());
}

#[tokio::test]
async fn who_closes_is_gone_and_who_breaks_off_is_missed_for_a_while() {
    let node = node(Choices::default()).await;
    let (mut alice, mut bob, mut carol) =
        (node.connect("alice").await, node.connect("bob").await, node.connect("carol").await);
    for peer in [&mut alice, &mut bob, &mut carol] {
        peer.ask("presence", json!({"topic": "chat:1", "enter": {}})).await;
    }
    drop(bob);
    alice.socket.close(None).await.unwrap();
    node.sessions_are(1).await;
    assert_eq!(node.users_in("chat:1").await, ["bob", "carol"]);
    // Sent away by an administrator is gone as well.
    let carols = fanfare_model::UserId::new("carol").unwrap();
    node.node.sessions.disconnect_user(&Tenant::default(), &carols);
    carol.disconnected().await;
    node.users_become("chat:1", &["bob"]).await;
}

#[tokio::test]
async fn a_refresh_without_the_grant_ends_presence() {
    let node = node(Choices::default()).await;
    let mut peer = node.connect("alice").await;
    peer.watch("chat:1").await;
    peer.ask("subscribe", json!({"topic": "chat:2"})).await;
    peer.ask("presence", json!({"topic": "chat:2", "enter": {}})).await;
    let token = node.token_to("alice", &["chat:*"], &[Action::Subscribe]);
    assert!(peer.ask("refresh", json!({"token": token})).await.get("refreshed").is_some());
    let ended = peer.next().await;
    assert_eq!(ended["unsubscribed"], json!({"topic": "chat:1", "code": 2501, "reason": "permission ended"}));
    assert!(node.users_in("chat:2").await.is_empty());
}

#[tokio::test]
async fn who_missed_changes_is_told_the_members_again() {
    let ws = fanfare_gateway_ws::Options { command_timeout: Duration::from_secs(2), ..Default::default() };
    let hub = HubOptions { ring_events_max: 2, ..HubOptions::default() };
    let node = node(Choices { stuck: true, ws, hub, ..Choices::default() }).await;
    let (mut peer, mut bob) = (node.connect("alice").await, node.connect("bob").await);
    peer.watch("chat:1").await;
    bob.ask("presence", json!({"topic": "chat:1", "enter": {}})).await;
    peer.presence().await;
    // When the pong is heard the session waits for a log that is stuck.
    peer.send("{\"ping\":{}}\n{\"id\":7,\"publish\":{\"topic\":\"chat:1\",\"data\":1}}").await;
    assert_eq!(peer.next().await, json!({"pong": {}}));
    let topic = Topic::new("chat:1").unwrap();
    for rev in 100..110 {
        let diff = Data::json(json!({"prev": rev - 1, "rev": rev, "count": 1}).to_string()).unwrap();
        node.node.bus.signal(&Tenant::default(), &topic, "presence", diff).await.unwrap();
    }
    assert_eq!(peer.next().await["error"]["code"], "timeout");
    let members = loop {
        let said = peer.presence().await;
        if said.get("members").is_some() {
            break said;
        }
        assert!(said["rev"].as_u64().unwrap() > 107, "only what the ring still had: {said}");
    };
    assert_eq!((&members["count"], &members["members"][0]["user"]), (&json!(1), &json!("bob")));
}
