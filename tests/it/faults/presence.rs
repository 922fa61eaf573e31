//! Who is there, in the end, whatever happened on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fanfare_tests::faults::checker::Checker;
use fanfare_tests::faults::{On, Recovery, Report, Scale, Spread, Stage};
use fanfare_tests::token::Token;
use fanfare_tests::ws::{self, WsClient};
use fanfare_tests::{Api, Config, Server};
use serde_json::json;

use super::scenario;

const TOPIC: &str = "room:1";
const MEMBERS: usize = 20;
/// Of those on a gateway that is killed.
const RETURNING: usize = 4;

/// A node's members go 15 s after its last sign of life, and are then reaped; the rest is for a busy machine.
const SETTLED_MAX: Duration = Duration::from_secs(120);

fn config() -> Config {
    // Members read nothing.
    Config::new().kind("room", "presence = { grace = \"1s\", flush = \"100ms\" }").without_pings()
}

/// Somebody who is there for as long as this lives.
async fn enter(gateway: &Server, user: &str) -> WsClient {
    let token = Token::client().user(user).expires_in(36_000).grant(&["*"], &["subscribe", "presence"]).mint();
    let mut client = ws::connect(gateway.public(), &token).await;
    let reply = client.request(json!({"subscribe": {"topic": TOPIC}})).await;
    assert!(reply.get("subscribed").is_some(), "{reply}");
    let reply = client.request(json!({"presence": {"topic": TOPIC, "enter": {}}})).await;
    assert!(reply.get("error").is_none(), "{reply}");
    client
}

/// The users that a node says are there.
async fn said(api: &Api) -> Option<Vec<String>> {
    let path = format!("/v1/topics/{}/presence?limit=1000", fanfare_tests::percent_encode(TOPIC));
    let answer = api.send(api.request(http::Method::GET, &path)).await.ok()?;
    let members = answer.json()["members"].as_array()?.clone();
    let mut users: Vec<String> =
        members.iter().filter_map(|member| Some(member["user"].as_str()?.to_owned())).collect();
    users.sort_unstable();
    Some(users)
}

/// Somebody in the room.
struct Member {
    user: String,
    gateway: usize,
    _client: WsClient,
}

/// A room on a stage, and who is in it.
struct Room {
    stage: Stage,
    members: Vec<Member>,
    entered: u32,
    checker: Checker,
    took: Vec<Duration>,
}

impl Room {
    async fn enter(&mut self, gateway: usize, user: &str) {
        let client = enter(&self.stage.gateways[gateway], user).await;
        self.members.push(Member { user: user.to_owned(), gateway, _client: client });
        self.entered += 1;
    }

    /// A gateway is killed. Some of its members come back through the other one.
    async fn lose_a_gateway(&mut self, gateway: usize) {
        self.stage.gateways[gateway].kill();
        let lost: Vec<Member> = self.members.extract_if(.., |member| member.gateway == gateway).collect();
        for Member { user, .. } in lost.iter().take(RETURNING) {
            self.enter(1 - gateway, user).await;
        }
        self.settle("after a gateway was killed").await;
        self.stage.gateways[gateway].restart().await;
    }

    /// The node that tells of changes is killed while one enters and another leaves.
    async fn lose_a_worker(&mut self, late: &str) {
        self.stage.apis[0].kill();
        self.enter(0, late).await;
        self.members.remove(0);
        self.stage.apis[0].restart().await;
        self.settle("after a worker was killed").await;
    }

    async fn lose_the_engine(&mut self) {
        self.stage.engine.kill();
        self.stage.engine.restart().await;
        self.settle("after the engine was killed").await;
    }

    /// Waits until every node says that those who are there are there and nobody else; what a node says when that takes
    /// too long is the checker's to judge.
    async fn settle(&mut self, what: &str) {
        let begun = Instant::now();
        let mut truth: Vec<String> = self.members.iter().map(|member| member.user.clone()).collect();
        truth.sort_unstable();
        for server in &self.stage.apis {
            let api = server.api();
            let last = loop {
                let last = said(&api).await;
                if last.as_ref() == Some(&truth) || begun.elapsed() > SETTLED_MAX {
                    break last.unwrap_or_default();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            self.checker.present(what, truth.iter().map(String::as_str), last.iter().map(String::as_str));
        }
        self.took.push(begun.elapsed());
    }
}

/// Members enter through two gateways. A gateway, the node that tells of changes and the engine are killed in turn: those
/// who stay or come back are there, the others are not.
async fn presence_comes_right(name: &'static str, on: On) {
    let begun = Instant::now();
    let stage = Stage::start(on, config(), 2).await;
    let mut room = Room { stage, members: Vec::new(), entered: 0, checker: Checker::default(), took: Vec::new() };
    for number in 0..MEMBERS {
        room.enter(number % 2, &format!("u{number}")).await;
    }
    room.settle("at first").await;
    room.took.clear();
    for round in 0..Scale::of_this_run().choose(1, 2) {
        room.lose_a_gateway(round).await;
        room.lose_a_worker(&format!("late{round}")).await;
        room.lose_the_engine().await;
    }
    let faults = room.took.len();
    room.members.clear();
    room.settle("when all have left").await;

    let Room { checker, took, entered, .. } = room;
    let verdict = checker.finish(&BTreeMap::new());
    let report = Report {
        scenario: name.to_owned(),
        engine: on.to_string(),
        readers: entered,
        violations: verdict.figures.violations,
        recovery: Recovery { faults, whole: Spread::of(took), outage: None },
        took: begun.elapsed(),
        ..Report::default()
    };
    eprintln!("{report}");
    if Scale::of_this_run() == Scale::Long {
        report.keep();
    }
    assert!(verdict.violations.is_empty(), "{on}: {:#?}", verdict.violations);
}
scenario!(presence_comes_right on Remote, Redis, Nats, Postgres);
