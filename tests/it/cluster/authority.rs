//! What a backend says through one node holds on all of them.

use std::time::{Duration, Instant};

use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{Cluster, Config, Heard, Listen, PATIENCE, Shared, Transport, eventually, fresh_topic};
use serde_json::json;

use super::over_every_engine;

/// A second or so, and what a machine takes that stands still meanwhile.
const SOON: Duration = Duration::from_secs(10);

fn of(user: &str) -> Token {
    Token::client().user(user).grant(&["*"], &["subscribe", "publish", "history"])
}

/// The sessions of a user are found, subscribed, unsubscribed and ended on whatever node they are.
async fn sessions_on_every_node_follow_orders(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new()).await;
    let api = cluster.api.api();
    let mut listeners = Vec::new();
    for gateway in &cluster.gateways {
        let ask = Listen::to(&fresh_topic("own"), of("alice").mint());
        listeners.push(Transport::WsJson.listen(gateway.public(), &ask).await);
    }
    let sessions = api.get("/v1/sessions?user=alice").await.ok();
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(2), "{shared}: {sessions}");

    let more = fresh_topic("more");
    api.publish_numbers(&more, 1..=3).await;
    let told = api.post("/v1/users/alice/subscribe", &json!({"topics": [more], "from": "start"})).await.ok();
    assert_eq!(told["sessions"], 2, "{shared}: {told}");
    for listener in &mut listeners {
        assert_eq!(listener.take(3).await.0, [1, 2, 3], "{shared}");
    }
    let told = api.post("/v1/users/alice/unsubscribe", &json!({"topics": [more]})).await.ok();
    assert_eq!(told["sessions"], 2, "{shared}: {told}");
    for listener in &mut listeners {
        while !matches!(listener.next().await, Heard::Unsubscribed(_)) {}
    }
    let told = api.post("/v1/users/alice/disconnect", &json!({})).await.ok();
    assert_eq!(told["disconnected"], 2, "{shared}: {told}");
    for listener in &mut listeners {
        listener.ended().await;
    }
}

/// Whoever is revoked through one node is put out of the others within a second or so, and let in by none, also after a
/// restart.
async fn a_revocation_holds_on_every_node(shared: Shared) {
    let mut cluster = Cluster::start(shared, Config::new()).await;
    let topic = fresh_topic("revoked");
    let ask = Listen::to(&topic, of("mallory").mint());
    let mut listeners = Vec::new();
    for gateway in &cluster.gateways {
        for transport in Transport::ALL {
            listeners.push(transport.listen(gateway.public(), &ask).await);
        }
    }
    let begun = Instant::now();
    cluster.api.api().post("/v1/tokens/revoke", &json!({"block_user": "mallory"})).await.ok();
    for listener in &mut listeners {
        let verdict = listener.ended().await;
        assert_eq!(verdict["code"], 4003, "{shared}: {verdict}");
    }
    assert!(begun.elapsed() < SOON, "{shared}: it took {:?}", begun.elapsed());
    cluster.gateways[1].kill();
    cluster.gateways[1].restart().await;
    for gateway in &cluster.gateways {
        let refused = Transport::WsJson.try_listen(gateway.public(), &ask).await;
        assert_eq!(refused.err().as_deref(), Some("user_blocked"), "{shared}");
    }
    cluster.api.api().post("/v1/tokens/unblock", &json!({"user": "mallory"})).await.ok();
    for gateway in &cluster.gateways {
        eventually(format!("{shared}: to be let in again"), PATIENCE, async || {
            // The token itself was revoked with the user; a new one will do.
            let ask = Listen::to(&topic, of("mallory").claim("jti", "new".into()).mint());
            Transport::WsJson.try_listen(gateway.public(), &ask).await.ok()
        })
        .await;
    }
}

/// A ticket that one node made opens one stream, on whatever node it is shown first.
async fn a_ticket_is_good_once_on_all_nodes(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new().set("auth", "ticket_lifetime = \"5m\"")).await;
    let topic = fresh_topic("ticket");
    let made = cluster.api.api().post("/v1/tickets", &json!({"user": "alice", "topics": [topic]})).await.ok();
    let ticket = made["ticket"].as_str().expect("a ticket");
    let show = |gateway: usize| {
        let request = subscribe(cluster.gateways[gateway].public(), &[&topic]).token(None).query("ticket", ticket);
        async move { request.send().await }
    };
    let first = show(1).await.expect("an answer");
    assert_eq!(first.status, 200, "{shared}");
    for gateway in [0, 1] {
        let again = show(gateway).await.expect("an answer");
        assert_eq!(again.status, 401, "{shared}: gateway {gateway}");
    }
}

/// With one session a user, a new one anywhere takes the place of the old one.
async fn one_session_of_a_user_on_all_nodes(shared: Shared) {
    let cluster = Cluster::start(shared, Config::new().session("single_per_user = true")).await;
    let topic = fresh_topic("single");
    let ask = || Listen::to(&topic, of("alice").mint());
    let mut before = Transport::WsJson.listen(cluster.gateways[0].public(), &ask()).await;
    let mut now = Transport::WsJson.listen(cluster.gateways[1].public(), &ask()).await;
    assert_eq!(before.ended().await["code"], 4008, "{shared}");
    cluster.api.api().publish_text(&topic, "to the last").await;
    assert_eq!(now.event().await["data"], "to the last", "{shared}");
}

over_every_engine!(
    sessions_on_every_node_follow_orders,
    a_revocation_holds_on_every_node,
    a_ticket_is_good_once_on_all_nodes,
    one_session_of_a_user_on_all_nodes,
);
