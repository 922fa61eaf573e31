//! Who is there, in the end, whatever happened on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fanfare_tests::faults::checker::Checker;
use fanfare_tests::faults::{On, Report, Scale, Stage};
use fanfare_tests::token::Token;
use fanfare_tests::ws::{self, WsClient};
use fanfare_tests::{Api, Config, Server};
use serde_json::json;

use super::scenario;

const TOPIC: &str = "room:1";
const MEMBERS: usize = 20;

/// A node's members go 15 s after its last sign of life, and are then reaped; the rest is for a busy machine.
const SETTLED_MAX: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config::new().kind("room", "presence = { grace = \"1s\", flush = \"100ms\" }")
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

/// A room on a stage, and who is in it.
struct Room {
    stage: Stage,
    members: Vec<(String, WsClient)>,
    checker: Checker,
    took: Vec<Duration>,
}

impl Room {
    async fn enter(&mut self, gateway: usize, user: &str) {
        let client = enter(&self.stage.gateways[gateway], user).await;
        self.members.push((user.to_owned(), client));
    }

    /// Waits until every node says that those who are there are there and nobody else; what a node says when that takes
    /// too long is the checker's to judge.
    async fn settle(&mut self, what: &str) {
        let begun = Instant::now();
        let mut truth: Vec<String> = self.members.iter().map(|(user, _)| user.clone()).collect();
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

/// Members enter through two gateways, one of which is killed: those who come back are there, the others are not. Then
/// the node that tells of changes is killed, and at last the engine.
async fn presence_comes_right(name: &'static str, on: On) {
    let stage = Stage::start(on, config(), 2).await;
    let mut room = Room { stage, members: Vec::new(), checker: Checker::default(), took: Vec::new() };
    for number in 0..MEMBERS {
        room.enter(number % 2, &format!("u{number}")).await;
    }
    room.settle("at first").await;
    room.took.clear();

    room.stage.gateways[0].kill();
    let (on_the_dead, others) =
        room.members.drain(..).enumerate().partition::<Vec<_>, _>(|(number, _)| number % 2 == 0);
    room.members = others.into_iter().map(|(_, member)| member).collect();
    for (_, (user, _)) in on_the_dead.iter().take(4) {
        room.enter(1, user).await;
    }
    room.settle("after a gateway was killed").await;
    room.stage.gateways[0].restart().await;

    room.stage.apis[0].kill();
    room.enter(0, "late").await;
    let (gone, _) = room.members.remove(0);
    assert!(!room.members.iter().any(|(user, _)| *user == gone));
    room.stage.apis[0].restart().await;
    room.settle("after a worker was killed").await;

    room.stage.engine.kill();
    room.stage.engine.restart().await;
    room.settle("after the engine was killed").await;
    room.members.clear();
    room.settle("when all have left").await;

    let Room { checker, mut took, .. } = room;
    let verdict = checker.finish(&BTreeMap::new());
    took.sort_unstable();
    let report = Report {
        faults: 3,
        readers: u32::try_from(MEMBERS).expect("a small number") + 1,
        violations: verdict.figures.violations,
        whole_median: took[took.len() / 2],
        whole_max: took[took.len() - 1],
        ..Report::new(name, on)
    };
    eprintln!("{report}");
    if Scale::of_this_run() == Scale::Long {
        report.keep();
    }
    assert!(verdict.violations.is_empty(), "{on}: {:#?}", verdict.violations);
}
scenario!(presence_comes_right on Remote, Redis, Nats, Postgres);
