//! A log of one engine and a carrier of another.

use std::path::Path;

use fanfare_test_engines::Nats;

use crate::hub::{KEYS, SECRET};
use crate::node::Node;
use crate::talk::{Follower, api, run};

/// A node whose news are carried by `nats`.
fn start(directory: &Path, nats: &Nats, log: &str, more: &[&str]) -> Node {
    let (log, urls) = (format!("engine.composed.log={log}"), format!("engine.nats.urls=['{}']", nats.url()));
    let composed = ["engine.kind=composed", "engine.composed.fanout=nats", &log, &urls, SECRET, KEYS];
    let args: Vec<_> = composed.iter().chain(more).flat_map(|setting| ["--set", setting]).collect();
    Node::start(directory, &args)
}

#[tokio::test]
async fn a_directory_is_the_log_of_many_nodes_and_nats_brings_its_news() {
    let (dir, nats) = (tempfile::tempdir().unwrap(), Nats::start().await);
    let serves = "listeners.admin.serves=['api', 'health', 'metrics', 'engine']";
    let hub = start(dir.path(), &nats, "embedded", &[serves]);
    let url = format!("engine.remote.url=http://{}", hub.admin);
    let gateway = start(dir.path(), &nats, "remote", &[&url]);
    let mut followers = [(&hub, "sse"), (&gateway, "ws")].map(|(node, way)| Follower::start(dir.path(), node, way));
    run(dir.path(), &hub, &["publish", "news", "1"]);
    run(dir.path(), &gateway, &["publish", "news", "2"]);
    for follower in &mut followers {
        assert_eq!([follower.next()["offset"].as_u64(), follower.next()["offset"].as_u64()], [Some(1), Some(2)]);
    }
    let nodes = api(dir.path(), &gateway, "GET", "/v1/nodes", "");
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2, "{nodes}");
}
