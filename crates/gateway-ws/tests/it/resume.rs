//! Sessions that survive their connection.

use fanfare_auth::{Action, MintRequest, Revocation};
use fanfare_model::{Duration, Tenant, UserId};
use serde_json::{Value, json};

use crate::support::{Choices, Peer, TestNode, node};

impl TestNode {
    /// A client that goes on with `resume`, and what it was told.
    async fn resume(&self, body: Value) -> (Peer, Value) {
        let mut peer = self.open().await;
        let said = peer.ask("connect", body).await;
        (peer, said)
    }
}

#[tokio::test]
async fn identity_subscriptions_events_and_presence_come_back() {
    let node = node(Choices::default()).await;
    let mut watcher = node.connect("watcher").await;
    watcher.ask("subscribe", json!({"topic": "chat:2", "presence": true})).await;
    watcher.next().await;
    let (mut peer, connected) = node.connect_with(&node.token("alice")).await;
    assert_eq!(connected.get("resumed"), None);
    for topic in ["chat:1", "news"] {
        peer.ask("subscribe", json!({"topic": topic})).await;
    }
    peer.ask("presence", json!({"topic": "chat:2", "enter": {"mood": "good"}})).await;
    assert_eq!(watcher.next().await["presence"]["join"][0]["user"], "alice");
    node.publish("chat:1", ["a".to_owned()]).await;
    node.publish("news", ["n".to_owned()]).await;
    let (chat, news) = (peer.next().await["event"]["position"].clone(), peer.next().await["event"]["position"].clone());
    drop(peer);
    node.sessions_are(1).await;
    node.publish("chat:1", ["b".to_owned(), "c".to_owned()]).await;
    let cursor = json!({"chat:1": chat, "news": news});
    let (mut peer, said) = node.resume(json!({"resume": connected["resume"], "cursor": cursor})).await;
    let again = &said["connected"];
    assert_eq!((&again["resumed"], &again["session"]), (&json!(true), &connected["session"]), "{said}");
    assert_eq!(again["user"], "alice");
    let mut heard = Vec::new();
    let mut subscribed = Vec::new();
    while heard.len() < 2 || subscribed.len() < 2 {
        let said = peer.next().await;
        match said.get("subscribed") {
            Some(reply) => subscribed.push(reply["topic"].as_str().unwrap().to_owned()),
            None => heard.push(said["event"]["id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()),
        }
    }
    assert_eq!(
        (heard, subscribed),
        (vec!["b".to_owned(), "c".to_owned()], vec!["chat:1".to_owned(), "news".to_owned()])
    );
    // It was never gone: what is heard next is that it goes.
    peer.ask("presence", json!({"topic": "chat:2", "update": {"mood": "better"}})).await;
    let update = watcher.next().await;
    assert_eq!(update["presence"]["update"][0]["data"], json!({"mood": "better"}), "{update}");
    peer.socket.close(None).await.unwrap();
    assert_eq!(watcher.next().await["presence"]["leave"][0]["user"], "alice");
}

#[tokio::test]
async fn the_new_connection_takes_the_place_of_the_old_one() {
    let node = node(Choices::default()).await;
    let (mut old, connected) = node.connect_with(&node.token("alice")).await;
    old.ask("presence", json!({"topic": "chat:1", "enter": {}})).await;
    let (mut new, said) = node.resume(json!({"token": connected["resume"]})).await;
    assert_eq!((&said["connected"]["resumed"], &said["connected"]["session"]), (&json!(true), &connected["session"]));
    let (code, disconnect) = old.disconnected().await;
    assert_eq!((code, &disconnect["reason"], &disconnect["reconnect"]), (4008, &json!("replaced"), &json!(false)));
    drop(old);
    node.sessions_are(1).await;
    // The old one has taken nothing of the new one with it.
    let members = new.ask("presence", json!({"topic": "chat:1", "read": {}})).await;
    assert_eq!(members["presence"]["count"], 1);
    let id = fanfare_model::SessionId::new(connected["session"].as_str().unwrap()).unwrap();
    assert!(node.node.sessions.disconnect(&Tenant::default(), &id));
    assert_eq!(new.disconnected().await.0, 4004);
}

#[tokio::test]
async fn who_is_there_by_listening_comes_back_as_it_was() {
    let node = node(Choices::default()).await;
    let (mut peer, connected) = node.connect_with(&node.token("alice")).await;
    peer.ask("subscribe", json!({"topic": "room:1"})).await;
    peer.ask("presence", json!({"topic": "room:1", "update": {"mood": "good"}})).await;
    node.publish("room:1", ["a".to_owned()]).await;
    let position = peer.next().await["event"]["position"].clone();
    drop(peer);
    let body = json!({"resume": connected["resume"], "cursor": {"room:1": position}});
    let (mut peer, said) = node.resume(body).await;
    assert_eq!(said["connected"]["resumed"], true, "{said}");
    assert!(peer.next().await.get("subscribed").is_some());
    let there = peer.ask("presence", json!({"topic": "room:1", "read": {}})).await;
    let members = &there["presence"]["members"];
    assert_eq!((&members[0]["data"], members.as_array().unwrap().len()), (&json!({"mood": "good"}), 1));
    peer.ask("unsubscribe", json!({"topic": "room:1"})).await;
    let gone = peer.ask("presence", json!({"topic": "room:1", "read": {}})).await;
    assert_eq!(gone["presence"]["count"], 0);
}

#[tokio::test]
async fn every_topic_is_checked_again() {
    let node = node(Choices::default()).await;
    let (peer, connected) = node.connect_with(&node.token_for("alice", &["news"])).await;
    drop(peer);
    let cursor = json!({"chat:1": "k3J9.17.0x7", "news": "k3J9.0.000"});
    let (mut peer, said) = node.resume(json!({"resume": connected["resume"], "cursor": cursor})).await;
    assert_eq!(said["connected"]["resumed"], true);
    // One is not hers, and the other goes back by a position that was not given with an event.
    let denied = peer.next().await;
    assert_eq!((denied.get("id"), &denied["error"]["code"]), (None, &json!("permission_denied")));
    let said = peer.next().await;
    assert!(said.get("subscribed").is_some(), "{said}");
}

#[tokio::test]
async fn what_was_revoked_does_not_come_back() {
    let node = node(Choices::default()).await;
    let (peer, connected) = node.connect_with(&node.token("alice")).await;
    drop(peer);
    let user = UserId::new("alice").unwrap();
    node.node.auth.revoke(Revocation::Block { tenant: Tenant::default(), user }).unwrap();
    let (mut peer, said) = node.resume(json!({"resume": connected["resume"]})).await;
    assert!(said.get("error").is_some(), "{said}");
    assert_eq!(peer.disconnected().await.0, 4003);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let node = node(Choices::default()).await;
    let (_first, connected) = node.connect_with(&node.token("alice")).await;
    for (body, code) in [
        (json!({"resume": "fr1.nonsense"}), 4001),
        (json!({"resume": connected["resume"], "token": node.token("alice")}), 4005),
        (json!({"resume": connected["resume"], "cursor": "k3J9.17.0x7"}), 4005),
    ] {
        let (mut peer, said) = node.resume(body.clone()).await;
        assert!(said.get("error").is_some(), "{body}: {said}");
        assert_eq!(peer.disconnected().await.0, code, "{body}");
    }
}

#[tokio::test]
async fn a_resume_token_is_renewed_in_time() {
    let session = fanfare_session::Options { resume_window: Duration::from_secs(8), ..Default::default() };
    let node = node(Choices { session, ..Choices::default() }).await;
    let (mut peer, connected) = node.connect_with(&node.token("alice")).await;
    let renewed = peer.next().await["resume"].clone();
    assert!(renewed["expires_in"].as_u64().unwrap() > 0 && renewed["token"] != connected["resume"]);
    let (_new, said) = node.resume(json!({"resume": renewed["token"]})).await;
    assert_eq!(said["connected"]["session"], connected["session"]);
}

#[tokio::test]
async fn a_session_is_warned_before_its_credentials_end_and_refreshed() {
    let session = fanfare_session::Options { expiry_warning: Duration::from_secs(5), ..Default::default() };
    let node = node(Choices { session, ..Choices::default() }).await;
    let short = || MintRequest { lifetime: Duration::from_secs(8), ..MintRequest::default() };
    let (mut peer, _) = node.connect_with(&node.mint("alice", &["news"], &[Action::Subscribe], short())).await;
    let (mut other, _) = node.connect_with(&node.mint("bob", &["news"], &[Action::Subscribe], short())).await;
    let warning = peer.next().await;
    assert!(warning["expiring"]["expires_in"].as_u64().is_some_and(|left| left <= 5), "{warning}");
    let token = node.token_for("alice", &["news"]);
    assert!(peer.ask("refresh", json!({"token": token})).await.get("refreshed").is_some());
    assert!(peer.next().await["resume"]["token"].as_str().unwrap().starts_with("fr1."));
    // Who does nothing about it is warned once and ends in time.
    assert!(other.next().await.get("expiring").is_some());
    let (code, disconnect) = other.disconnected().await;
    assert_eq!((code, &disconnect["reason"]), (4002, &json!("token_expired")));
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
}

#[tokio::test]
async fn a_session_with_little_left_is_not_warned() {
    let node = node(Choices::default()).await;
    let short = MintRequest { lifetime: Duration::from_secs(6), ..MintRequest::default() };
    let (mut peer, _) = node.connect_with(&node.mint("alice", &["news"], &[Action::Subscribe], short)).await;
    // The next thing said is the end.
    assert_eq!(peer.disconnected().await.0, 4002);
}
