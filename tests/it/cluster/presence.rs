//! Who is where is one truth on all nodes, also when one of them dies.

use fanfare_tests::token::Token;
use fanfare_tests::{
    Cluster, Config, Cut, Listen, Listener, PATIENCE, Proxy, Shared, Transport, eventually, fresh_topic, percent_encode,
};
use serde_json::{Value, json};

use super::over_every_engine;

fn config() -> Config {
    // A dead node's members are soon given up; a node that stands still for some seconds is not dead.
    Config::new().set("presence", "lease = \"8s\"").set("presence", "heartbeat = \"1s\"").kind(
        "room",
        "presence = { grace = \"2s\", flush = \"50ms\", log = [\"occupied\", \"vacated\", \"join\", \"leave\"] }",
    )
}

fn token(user: &str) -> String {
    Token::client().user(user).grant(&["*"], &["subscribe", "publish", "history", "presence"]).mint()
}

async fn enter(cluster: &Cluster, gateway: usize, user: &str, topic: &str) -> Listener {
    let ask = Listen::to(topic, token(user));
    let mut member = Transport::WsJson.listen(cluster.gateways[gateway].public(), &ask).await;
    member.request(json!({"presence": {"topic": topic, "enter": {}}})).await.expect("they may");
    member
}

async fn watch(cluster: &Cluster, gateway: usize, topic: &str) -> Listener {
    let ask = Listen::to(topic, token("watcher")).with_presence();
    Transport::WsJson.listen(cluster.gateways[gateway].public(), &ask).await
}

async fn count(cluster: &Cluster, topic: &str) -> Value {
    let path = format!("/v1/topics/{}/presence", percent_encode(topic));
    cluster.api.api().get(&path).await.ok()["count"].clone()
}

/// What a watcher knows when it has heard that `user` joined or left (`how`).
async fn hears(watcher: &mut Listener, how: &str, user: &str) -> Value {
    loop {
        let told = watcher.presence().await;
        let list = told[how].as_array().or_else(|| told["members"].as_array().filter(|_| how == "join"));
        if list.is_some_and(|list| list.iter().any(|member| member["user"] == user)) {
            return told;
        }
        // Another snapshot in which somebody is not there any more says so too.
        let members = told["members"].as_array().filter(|_| how == "leave");
        if members.is_some_and(|members| members.iter().all(|member| member["user"] != user)) {
            return told;
        }
    }
}

fn logged(log: &[Value], name: &str, user: &str) -> usize {
    log.iter().filter(|event| event["name"] == name && event["data"]["user"] == user).count()
}

/// Members on one gateway are seen from the others, and leave when they go.
async fn members_are_seen_from_every_node(shared: Shared) {
    let cluster = Cluster::start(shared, config()).await;
    let topic = fresh_topic("room");
    let mut watchers = [watch(&cluster, 0, &topic).await, watch(&cluster, 1, &topic).await];
    let alice = enter(&cluster, 0, "alice", &topic).await;
    let mut bob = enter(&cluster, 1, "bob", &topic).await;
    for watcher in &mut watchers {
        hears(watcher, "join", "alice").await;
    }
    assert_eq!(count(&cluster, &topic).await, 2, "{shared}");
    bob.request(json!({"presence": {"topic": topic, "leave": {}}})).await.expect("he may");
    for watcher in &mut watchers {
        hears(watcher, "leave", "bob").await;
    }
    assert_eq!(count(&cluster, &topic).await, 1, "{shared}");
    drop(alice);
    for watcher in &mut watchers {
        hears(watcher, "leave", "alice").await;
    }
    assert_eq!(count(&cluster, &topic).await, 0, "{shared}");
}

/// A gateway is killed: its members leave once, for every watcher and in the log.
async fn the_members_of_a_dead_node_leave_once(shared: Shared) {
    let mut cluster = Cluster::start(shared, config()).await;
    let topic = fresh_topic("room");
    let _stays = enter(&cluster, 1, "bob", &topic).await;
    let mut watcher = watch(&cluster, 1, &topic).await;
    let _gone = enter(&cluster, 0, "alice", &topic).await;
    hears(&mut watcher, "join", "alice").await;
    cluster.gateways[0].kill();
    hears(&mut watcher, "leave", "alice").await;
    eventually(format!("{shared}: only bob to be there"), PATIENCE, async || {
        (count(&cluster, &topic).await == 1).then_some(())
    })
    .await;
    let log = eventually(format!("{shared}: alice's leave in the log"), PATIENCE, async || {
        let log = cluster.api.api().log_of(&topic).await;
        (logged(&log, "fanfare.leave", "alice") > 0).then_some(log)
    })
    .await;
    for (name, user, times) in [
        ("fanfare.join", "alice", 1),
        ("fanfare.leave", "alice", 1),
        ("fanfare.join", "bob", 1),
        ("fanfare.leave", "bob", 0),
    ] {
        assert_eq!(logged(&log, name, user), times, "{shared}: {name} of {user} in {log:#?}");
    }
}

/// A session that is cut off comes back through another gateway, within the time of grace: nobody saw it leave.
async fn a_session_comes_back_through_another_node(shared: Shared) {
    let cluster =
        Cluster::start(shared, config().kind("room", "presence = { grace = \"60s\", flush = \"50ms\" }")).await;
    let topic = fresh_topic("room");
    let mut watcher = watch(&cluster, 1, &topic).await;
    watcher.presence().await;
    let proxy = Proxy::start(cluster.gateways[0].public()).await;
    let mut alice = Transport::WsJson.listen(proxy.address(), &Listen::to(&topic, token("alice"))).await;
    let resume = alice.resume_token().await;
    alice.request(json!({"presence": {"topic": topic, "enter": {}}})).await.expect("she may");
    hears(&mut watcher, "join", "alice").await;
    cluster.api.api().publish_text(&topic, "before").await;
    let (_, position) = alice.take(1).await;
    proxy.cut(Cut::Reset);
    cluster.api.api().publish_text(&topic, "meanwhile").await;

    let ask = Listen::to(&topic, resume).from(position);
    let mut alice = Transport::WsJson.listen(cluster.gateways[1].public(), &ask).await;
    assert_eq!(alice.take(1).await.0, ["meanwhile"], "{shared}");
    eventually(format!("{shared}: one session to be left"), PATIENCE, async || {
        let sessions = cluster.api.api().get("/v1/sessions?user=alice").await.ok();
        (sessions["sessions"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    // She leaves on purpose now: the first leave that anybody hears of.
    alice.request(json!({"presence": {"topic": topic, "leave": {}}})).await.expect("she may");
    let told = watcher.presence().await;
    assert_eq!(told["leave"][0]["user"], "alice", "{shared}: {told}");
    assert_eq!(count(&cluster, &topic).await, 0, "{shared}");
}

over_every_engine!(
    members_are_seen_from_every_node,
    the_members_of_a_dead_node_leave_once,
    a_session_comes_back_through_another_node,
);
