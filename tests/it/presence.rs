//! Presence as a whole: a storm of members, and a node that is killed.

use std::collections::{BTreeMap, BTreeSet};

use fanfare_tests::token::Token;
use fanfare_tests::ws::{self, WsClient};
use fanfare_tests::{
    Config, Listen, Listener, PATIENCE, Server, Transport, eventually, fresh_topic, percent_encode, within,
};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 1000;
/// A storm may leave so many bytes behind: pages that the allocator keeps.
const MEMORY_BACK: u64 = 8 << 20;
const ROOMS: usize = 10;
/// So many connections are opened at once.
const AT_ONCE: usize = 50;

fn token(user: &str) -> String {
    Token::client().user(user).grant(&["*"], &["subscribe", "history", "presence"]).mint()
}

fn config() -> Config {
    Config::new()
        .kind("storm", "presence = { grace = \"2s\", flush = \"100ms\", members_max = 5000 }")
        .ws("unconnected_max = 1000")
        // Most members read nothing for as long as the others come.
        .without_pings()
}

/// Whom a watcher was told of, up to a revision that is known only in the end. Whoever comes and goes at once may not be
/// told of at all, and a member who is changed is not told of twice.
struct Ledger {
    joined: BTreeMap<String, usize>,
    left: BTreeMap<String, usize>,
    present: BTreeSet<String>,
}

impl Ledger {
    async fn of(mut watcher: Listener, mut rev: u64, mut last: watch::Receiver<Option<u64>>) -> Self {
        let mut ledger = Self { joined: BTreeMap::new(), left: BTreeMap::new(), present: BTreeSet::new() };
        loop {
            let told = tokio::select! {
                told = watcher.presence() => told,
                last = last.wait_for(|last| last.is_some_and(|last| rev >= last)) => {
                    last.expect("the test is running");
                    return ledger;
                }
            };
            let ids = |list: &str| -> Vec<String> {
                let members = told[list].as_array().into_iter().flatten();
                members.map(|member| member["id"].as_str().expect("an id").to_owned()).collect()
            };
            assert!(told.get("members").is_none(), "no difference was lost: {told}");
            // A room that was empty begins anew.
            let follows = told["prev"] == rev || told["prev"] == 0 && ledger.present.is_empty();
            assert!(follows, "no difference was lost after {rev}: {told}");
            rev = told["rev"].as_u64().expect("a revision");
            for id in ids("join") {
                assert!(ledger.present.insert(id.clone()), "{id} joins once");
                *ledger.joined.entry(id).or_default() += 1;
            }
            for id in ids("leave") {
                assert!(ledger.present.remove(&id), "{id} leaves once");
                *ledger.left.entry(id).or_default() += 1;
            }
            assert_eq!(told["count"], ledger.present.len(), "{told}");
        }
    }
}

async fn enter(client: &mut WsClient, room: &str) {
    let reply = client.request(json!({"presence": {"topic": room, "enter": {"from": "storm"}}})).await;
    assert!(reply.get("error").is_none(), "{reply}");
}

async fn presence(server: &Server, room: &str) -> Value {
    server.api().get(&format!("/v1/topics/{}/presence?limit=1", percent_encode(room))).await.ok()
}

async fn count(server: &Server, room: &str) -> Value {
    presence(server, room).await["count"].clone()
}

/// 10,000 members come and go, 1,000 connections are cut off without a word: in the end nobody is there, every join
/// had one leave, and the memory is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_members_leaves_nobody_behind() {
    let server = Server::start(config()).await;
    let rooms: Vec<String> = (0..ROOMS).map(|_| fresh_topic("storm")).collect();
    let mut growth = Vec::new();
    // What one storm leaves to the allocator a later one uses again; what is lost, each loses anew.
    while growth.last().is_none_or(|grown| *grown >= MEMORY_BACK) {
        let round = growth.len();
        assert!(round < 5, "every storm leaves memory behind: {growth:?}");
        let before = server.stats().rss_bytes;
        let (mut ledgers, mut lasts) = (JoinSet::new(), Vec::new());
        for room in &rooms {
            let ask = Listen::to(room, token("watcher")).with_presence();
            let mut watcher = Transport::WsJson.listen(server.public(), &ask).await;
            let begin = watcher.presence().await;
            assert_eq!(begin["count"], 0, "{room}");
            let (last, wait) = watch::channel(None);
            let rev = begin["rev"].as_u64().expect("a revision");
            lasts.push(last);
            ledgers.spawn(Ledger::of(watcher, rev, wait));
        }
        let members: Vec<WsClient> = stream::iter(0..CONNECTIONS)
            // Each comes, goes by its own will, comes again, and is cut off.
            .map(|n| {
                let (rooms, token, to) = (&rooms, token(&format!("user-{n}")), server.public());
                async move {
                    let mut client = ws::connect(to, &token).await;
                    for room in rooms {
                        enter(&mut client, room).await;
                    }
                    for room in rooms {
                        client.request(json!({"presence": {"topic": room, "leave": {}}})).await;
                        enter(&mut client, room).await;
                    }
                    client
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for room in &rooms {
            assert_eq!(count(&server, room).await, CONNECTIONS, "round {round}: all are in {room}");
        }
        for mut client in members {
            // A reset: no close frame, no FIN.
            client.socket().get_ref().set_zero_linger().expect("an open socket");
        }
        for (room, last) in rooms.iter().zip(&lasts) {
            let end = eventually(format!("{room} to be empty"), PATIENCE, async || {
                let state = presence(&server, room).await;
                (state["count"] == 0).then_some(state)
            })
            .await;
            last.send_replace(end["rev"].as_u64());
        }
        for ledger in within("the watchers to hear all", ledgers.join_all()).await {
            assert_eq!(ledger.joined, ledger.left, "round {round}: every join has one leave");
            assert!(ledger.joined.len() >= CONNECTIONS, "round {round}: everybody was seen");
        }
        let settled = eventually("every session to have ended", PATIENCE, async || {
            let sessions = server.api().get("/v1/sessions?limit=1").await.ok();
            (sessions["total"] == 0).then(|| server.stats().rss_bytes)
        })
        .await;
        growth.push(settled.saturating_sub(before));
    }
}

/// `kill -9`: after the restart nobody is there, and the log has one leave for each who was.
#[tokio::test]
async fn a_killed_node_owes_its_members_a_leave() {
    let config = Config::new().kind(
        "logged",
        "presence = { grace = \"1s\", flush = \"50ms\", log = [\"occupied\", \"vacated\", \"join\", \"leave\"] }",
    );
    let mut server = Server::start(config).await;
    let room = fresh_topic("logged");
    let mut members = Vec::new();
    for n in 0..5 {
        let mut client = ws::connect(server.public(), &token(&format!("user-{n}"))).await;
        enter(&mut client, &room).await;
        members.push(client);
    }
    let names = |events: &[Value], name: &str| events.iter().filter(|event| event["name"] == name).count();
    eventually("five joins in the log", PATIENCE, async || {
        let log = server.api().log_of(&room).await;
        (names(&log, "fanfare.join") == 5).then_some(())
    })
    .await;
    for _ in 0..2 {
        server.kill();
        server.restart().await;
    }
    let log = eventually("the end of the story in the log", PATIENCE, async || {
        let log = server.api().log_of(&room).await;
        (names(&log, "fanfare.vacated") >= 1).then_some(log)
    })
    .await;
    let count_of = |name: &str| names(&log, name);
    let counts = ["fanfare.occupied", "fanfare.join", "fanfare.leave", "fanfare.vacated"].map(count_of);
    assert_eq!(counts, [1, 5, 5, 1], "{log:#?}");
    let left: BTreeSet<String> =
        log.iter().filter(|event| event["name"] == "fanfare.leave").map(|event| event["data"].to_string()).collect();
    assert_eq!(left.len(), 5, "of five different members: {left:?}");
    assert_eq!(count(&server, &room).await, 0);
}
