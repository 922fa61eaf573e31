//! Every status in the tables of `docs/protocol/grpc.md` is met here, from outside, with the code that stands beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fanfare_proto::v1::ack_request::Act;
use fanfare_proto::v1::tokens_client::TokensClient;
use fanfare_proto::v1::{AckRequest, PublishRequest, PullRequest, SubscribeRequest, TopicFrom, UnblockRequest};
use fanfare_tests::grpc::{Frames, channel, code_of, with_token};
use fanfare_tests::token::Token;
use fanfare_tests::{Config, PATIENCE, Server, eventually, frames, fresh_topic};
use serde_json::json;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};

use super::{events, item};

/// The rows of both tables: code or verdict → status.
fn documented() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol/grpc.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (code, status) = (cells.next()?, cells.next()?);
        (status.len() > 2 && status.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .then(|| (code.to_owned(), status.to_owned()))
    });
    rows.collect()
}

/// `INVALID_ARGUMENT` for [`Code::InvalidArgument`].
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// What was met, each checked against the tables.
struct Met {
    documented: BTreeMap<String, String>,
    statuses: BTreeSet<String>,
}

impl Met {
    fn meet(&mut self, status: &Status, code: &str) {
        assert_eq!(code_of(status), code, "{status:?}");
        if let Some(documented) = self.documented.get(code) {
            assert_eq!(name(status.code()), *documented, "the status of `{code}`");
        }
        self.statuses.insert(name(status.code()));
    }
}

fn token() -> String {
    Token::server().mint()
}

fn subscribe(topic: &str) -> SubscribeRequest {
    SubscribeRequest { topics: vec![TopicFrom { topic: topic.to_owned(), from: None }], ..SubscribeRequest::default() }
}

/// How a stream that listens to `topic` ends when `end` is done.
async fn ended(server: &Server, topic: &str, token: &str, end: impl Future<Output = ()>) -> Status {
    let open = Frames::subscribe(server.public(), token, subscribe(topic));
    let mut stream = Box::pin(open).await.expect("let in");
    stream.receive().await.expect("it is subscribed");
    end.await;
    loop {
        if let Err(ended) = stream.receive().await {
            return ended.0;
        }
    }
}

/// Waits until so many are there.
async fn sessions_are(server: &Server, count: u64) {
    eventually(format!("{count} sessions"), PATIENCE, async || {
        let sessions = server.api().get("/v1/sessions?limit=1").await.ok();
        (sessions["total"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_documented_status_is_met() {
    let config = Config::new()
        .kind("chat", "payload = { content = \"json\" }")
        .set("limits.tenant", "publishes_per_second = 1")
        .set("limits.tenant", "publishes_burst = 100")
        .session("sessions_max = 2");
    let mut server = Server::start(config.drain_over(1)).await;
    let topic = fresh_topic("status");
    let mut met = Met { documented: documented(), statuses: BTreeSet::new() };
    let mut client = events(server.admin()).await;
    let publish = |items| with_token(PublishRequest { items, id: 0 }, &token());

    let status = client.publish(publish(vec![item("no such topic", 1)])).await.expect_err("a space");
    met.meet(&status, "invalid_request");
    let status = Frames::subscribe(server.public(), "nonsense", subscribe(&topic)).await.err().expect("no token");
    met.meet(&status, "malformed_token");
    let mine = Token::client().grant(&["other"], &["subscribe"]).mint();
    let status = Frames::subscribe(server.public(), &mine, subscribe(&topic)).await.err().expect("not allowed");
    met.meet(&status, "permission_denied");
    let mut tokens = TokensClient::new(channel(server.admin()).await);
    let unblock = with_token(UnblockRequest { user: "nobody".to_owned() }, &token());
    met.meet(&tokens.unblock(unblock).await.expect_err("nobody is blocked"), "not_found");
    let ack = AckRequest {
        topic: topic.clone(),
        consumer: "mailer".to_owned(),
        lease: "1".to_owned(),
        act: Some(Act::All(true)),
        retry_after_ms: 0,
    };
    client.publish(publish(vec![item(&topic, 1)])).await.expect("room");
    let pull = PullRequest { topic: topic.clone(), consumer: "mailer".to_owned(), ..PullRequest::default() };
    let lease = client.pull(with_token(pull, &token())).await.expect("a batch").into_inner().lease;
    let ack = AckRequest { lease, ..ack };
    client.ack(with_token(ack.clone(), &token())).await.expect("an open lease");
    met.meet(&client.ack(with_token(ack, &token())).await.expect_err("it has ended"), "conflict");
    let large = client.publish(publish(vec![item(&topic, "x".repeat(2 << 20))])).await.expect_err("2 MiB");
    met.meet(&large, "too_large");
    let status = loop {
        if let Err(status) = client.publish(publish((0..50).map(|n| item(&topic, n)).collect())).await {
            break status;
        }
    };
    met.meet(&status, "rate_limited");

    let alice = Token::client().user("alice").mint();
    let end = Box::pin(async { drop(server.api().delete("/v1/users/alice/sessions").await.ok()) });
    let status = ended(&server, &topic, &alice, end).await;
    met.meet(&status, "disconnected");
    let expiring = Token::client().user("alice").expires_in(8).mint();
    met.meet(&ended(&server, &topic, &expiring, async {}).await, "token_expired");
    let bob = Token::client().user("bob").mint();
    let end =
        Box::pin(async { drop(server.api().post("/v1/tokens/revoke", &json!({"block_user": "bob"})).await.ok()) });
    let status = ended(&server, &topic, &bob, end).await;
    met.meet(&status, "revoked");

    let wait = PullRequest {
        topic: topic.clone(),
        from: frames::from(&json!("now")),
        wait_ms: 15_000,
        ..PullRequest::default()
    };
    let mut wait = with_token(wait, &token());
    wait.metadata_mut().insert("grpc-timeout", "100m".parse().expect("a plain value"));
    let status = client.pull(wait).await.expect_err("the time is up");
    // tonic keeps the time as well, and says so in its own words.
    met.statuses.insert(name(if status.code() == Code::Cancelled { Code::DeadlineExceeded } else { status.code() }));

    let mut bare = tonic::client::Grpc::new(channel(server.admin()).await);
    bare.ready().await.expect("connected");
    let codec = tonic_prost::ProstCodec::<UnblockRequest, UnblockRequest>::default();
    let path = PathAndQuery::from_static("/fanfare.v1.Events/Nonsense");
    let unknown = bare.unary(with_token(UnblockRequest::default(), &token()), path, codec).await;
    let status =
        unknown.map(|answer: tonic::Response<UnblockRequest>| answer.into_inner()).expect_err("no such method");
    assert_eq!(status.code(), Code::Unimplemented);

    // Those that have been ended have left their places.
    sessions_are(&server, 0).await;
    let mut held = Vec::new();
    let status = loop {
        match Frames::subscribe(server.public(), &alice, subscribe(&topic)).await {
            Ok(stream) => held.push(stream),
            Err(status) => break status,
        }
    };
    met.meet(&status, "overloaded");
    assert_eq!(held.len(), 2);
    held.pop();
    sessions_are(&server, 1).await;
    let terminate = async { server.terminate() };
    met.meet(&ended(&server, &topic, &alice, terminate).await, "draining");
    drop(held);
    assert!(server.ended(PATIENCE).await.success());

    let mut documented: BTreeSet<_> = met.documented.into_values().collect();
    // A fault of the server cannot be had on demand; that it has this status is tested beside the code.
    documented.remove("INTERNAL");
    let missing: Vec<_> = documented.difference(&met.statuses).collect();
    assert!(missing.is_empty(), "documented and not met: {missing:?}");
}
