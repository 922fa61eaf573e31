//! Moving what one engine keeps to another.

use std::path::Path;
use std::process::Output;

use rustix::process::Signal;

use crate::hub::{SECRET, start_hub};
use crate::node::Node;
use crate::program::{fanfare, stderr, stdout};
use crate::talk::{events, offsets, run};

/// A node that has published some events and was stopped. Two topics; one event is long.
fn published(directory: &Path) {
    let mut node = Node::start(directory, &[]);
    for n in 0..5 {
        run(directory, &node, &["publish", "news", &n.to_string(), "--id", &format!("id-{n}")]);
    }
    run(directory, &node, &["publish", "chat:1", &"long ".repeat(10_000)]);
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

fn history(directory: &Path, node: &Node, topic: &str) -> Vec<serde_json::Value> {
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
