//! Moving what one engine keeps to another.

use std::path::Path;
use std::process::Output;

use fanfare_test_engines::{Nats, Postgres, Redis};
use rustix::process::Signal;
use serde_json::Value;

use crate::hub::{SECRET, start_hub};
use crate::node::Node;
use crate::program::{fanfare, stderr, stdout};
use crate::talk::{api, events, offsets, run};

/// A node that has published some events and was stopped. Two topics; one event is long.
fn published(directory: &Path) {
    let node = Node::start(directory, &[]);
    for n in 0..5 {
        run(directory, &node, &["publish", "news", &n.to_string(), "--id", &format!("id-{n}")]);
    }
    run(directory, &node, &["publish", "chat:1", &"long ".repeat(10_000)]);
    stop(node);
}

fn stop(mut node: Node) {
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0));
}

fn migrate(directory: &Path, from: &str, to: &str, more: &[&str]) -> Output {
    std::fs::write(directory.join("from.toml"), from).unwrap();
    std::fs::write(directory.join("to.toml"), to).unwrap();
    fanfare(directory).args(["migrate", "--from", "from.toml", "--to", "to.toml"]).args(more).output().unwrap()
}

const FROM: &str = "[engine]\npath = \"data\"\n";
const TO: &str = "[engine]\npath = \"moved\"\n";

/// The configuration of nodes that share an engine. They find the development secret where the first node made it.
fn shared(kind: &str, section: &str) -> String {
    let key = "0123456789abcdef0123456789abcdef";
    format!(
        "[engine]\nkind = \"{kind}\"\npath = \"data\"\n[engine.{kind}]\n{section}\n[auth.resume]\nkeys = [\"{key}\"]\n"
    )
}

/// A node with this configuration.
fn start(directory: &Path, config: &str) -> Node {
    std::fs::write(directory.join("fanfare.toml"), config).unwrap();
    Node::start(directory, &[])
}

fn moved(directory: &Path, from: &str, to: &str, more: &[&str]) -> String {
    let output = migrate(directory, from, to, more);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn history(directory: &Path, node: &Node, topic: &str) -> Vec<Value> {
    events(&run(directory, node, &["history", topic, "--json"]))
}

#[test]
fn epochs_offsets_times_and_ids_stay() {
    let dir = tempfile::tempdir().unwrap();
    published(dir.path());
    for _ in 0..2 {
        let output = migrate(dir.path(), FROM, TO, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("moved 6 events of 2 topics with their epochs, offsets and times"));
    }
    let old = Node::start(dir.path(), &[]);
    let [news, chat] = ["news", "chat:1"].map(|topic| history(dir.path(), &old, topic));
    drop(old);
    std::fs::copy(dir.path().join("data/dev-secret"), dir.path().join("moved/dev-secret")).unwrap();
    let new = Node::start(dir.path(), &["--set", "engine.path=moved"]);
    assert_eq!(history(dir.path(), &new, "news"), news);
    assert_eq!(history(dir.path(), &new, "chat:1"), chat);
    assert_eq!(news.len(), 5);
    // It goes on where it was, and knows the ids.
    run(dir.path(), &new, &["publish", "news", "again", "--id", "id-4"]);
    run(dir.path(), &new, &["publish", "news", "next"]);
    assert_eq!(offsets(&history(dir.path(), &new, "news")), [1, 2, 3, 4, 5, 6]);
}

/// What clients, consumers and those who were shut out can see of a node.
fn seen(directory: &Path, node: &Node) -> [Value; 4] {
    let read = |topic: &str| history(directory, node, topic).into();
    let ask = |path: &str| api(directory, node, "GET", path, "");
    [read("news"), read("chat:1"), ask("/v1/consumers"), ask("/v1/tokens/revocations")]
}

#[tokio::test]
async fn positions_cursors_and_blocks_go_from_engine_to_engine() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (redis, postgres) = (Redis::start().await, Postgres::start().await);
    published(dir);
    let node = start(dir, FROM);
    let pulled = api(dir, &node, "POST", "/v1/topics/news/pull", r#"{"consumer":"pay","limit":2}"#);
    let lease = format!(r#"{{"consumer":"pay","lease":{},"all":true}}"#, pulled["lease"]);
    api(dir, &node, "POST", "/v1/topics/news/ack", &lease);
    api(dir, &node, "POST", "/v1/tokens/revoke", r#"{"block_user":"mallory"}"#);
    let was = seen(dir, &node);
    assert_eq!(was[3]["revocations"][0]["block_user"], "mallory");
    let position = was[0][2]["position"].as_str().unwrap().to_owned();
    stop(node);
    let engines = [
        FROM.to_owned(),
        shared("redis", &format!("urls = [\"{}\"]", redis.url())),
        shared("postgres", &format!("url = \"{}\"", postgres.url())),
        TO.to_owned(),
    ];
    std::fs::create_dir(dir.join("moved")).unwrap();
    std::fs::copy(dir.join("data/dev-secret"), dir.join("moved/dev-secret")).unwrap();
    for pair in engines.windows(2) {
        // Once more does no harm.
        for _ in 0..2 {
            let told = moved(dir, &pair[0], &pair[1], &[]);
            assert!(told.contains("with their epochs, offsets and times, and 1 cursors of consumers"), "{told}");
        }
        let node = start(dir, &pair[1]);
        assert_eq!(seen(dir, &node), was, "{}", pair[1]);
        let read = run(dir, &node, &["subscribe", "news", "--from", &position, "--count", "2", "--json"]);
        assert_eq!(offsets(&events(&read)), [4, 5], "{}", pair[1]);
        stop(node);
    }
}

#[tokio::test]
async fn a_move_that_was_done_in_part_goes_on() {
    let (redis, nats) = (Redis::start().await, Nats::start().await);
    let redis = shared("redis", &format!("urls = [\"{}\"]", redis.url()));
    // The window is over when it goes on.
    let nats = shared("nats", &format!("urls = [\"{}\"]\nidempotency_window = \"100ms\"", nats.url()));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    published(dir);
    assert!(stderr(&migrate(dir, FROM, &nats, &[])).contains("--renumber"));
    for (to, more) in [(&redis, &[][..]), (&nats, &["--renumber"])] {
        moved(dir, FROM, to, more);
    }
    let old = start(dir, FROM);
    run(dir, &old, &["publish", "news", "later", "--id", "later"]);
    let was = history(dir, &old, "news");
    stop(old);
    for (to, more) in [(&redis, &[][..]), (&nats, &["--renumber"])] {
        assert!(moved(dir, FROM, to, more).contains("moved 7 events of 2 topics"));
        let new = start(dir, to);
        let is = history(dir, &new, "news");
        let ids = |events: &[Value]| events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&is), ids(&was), "{to}");
        stop(new);
    }
    // What NATS has numbered stays so elsewhere, holes and all.
    let read = moved(dir, &nats, "[engine]\npath = \"numbered\"\n", &[]);
    assert!(read.contains("moved 7 events of 2 topics with their epochs"), "{read}");
}

#[test]
fn another_log_is_not_overwritten() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    published(dir.path());
    published(other.path());
    let to = format!("[engine]\npath = \"{}/data\"\n", other.path().display());
    let output = migrate(dir.path(), FROM, &to, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0017") && text.contains("cannot be written"), "{text}");
}

#[test]
fn a_running_node_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::start(dir.path(), &[]);
    let output = migrate(dir.path(), FROM, TO, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0005") && text.contains("in use by another process"), "{text}");
}

#[test]
fn an_engine_that_gives_its_own_offsets_gets_events_only_if_that_is_asked_for() {
    let (dir, hub_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    published(dir.path());
    let hub = start_hub(hub_dir.path());
    let (_, secret) = SECRET.split_once('=').unwrap();
    let to = format!(
        "[engine]\nkind = \"remote\"\n[engine.remote]\nurl = \"http://{}\"\nsecret = \"{secret}\"\n\
         [auth.resume]\nkeys = [\"{secret}\"]\n",
        hub.admin
    );
    let refused = migrate(dir.path(), FROM, &to, &[]);
    let text = stderr(&refused);
    assert!(refused.status.code() == Some(1) && text.contains("FF-0016") && text.contains("--renumber"), "{text}");
    let output = migrate(dir.path(), FROM, &to, &["--renumber"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("moved 6 events of 2 topics with new offsets"), "{}", stdout(&output));
    let read = history(hub_dir.path(), &hub, "news");
    assert_eq!(offsets(&read), [1, 2, 3, 4, 5]);
    assert_eq!(read[4]["id"], "id-4");
    assert!(read[4]["occurred_at"].is_string() || read[4]["occurred_at"].is_number(), "{}", read[4]);
}
