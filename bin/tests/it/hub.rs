//! A node that owns the log, and a gateway that uses it.

use std::path::Path;

use rustix::process::Signal;

use crate::node::{Node, get};
use crate::program::{fanfare, stderr};
use crate::talk::{Follower, events, offsets, run};

pub(crate) const SECRET: &str = "engine.remote.secret=0123456789abcdef0123456789abcdef";
pub(crate) const KEYS: &str = "auth.resume.keys=['0123456789abcdef0123456789abcdef']";

/// A node that lends its engine to others at its admin address.
pub(crate) fn start_hub(directory: &Path) -> Node {
    let serves = "listeners.admin.serves=['api', 'health', 'metrics', 'engine']";
    Node::start(directory, &["--set", serves, "--set", SECRET, "--set", KEYS, "--set", "cluster.name=hub"])
}

fn start_gateway(directory: &Path, hub: &Node) -> Node {
    let url = format!("engine.remote.url=http://{}", hub.admin);
    let set = ["--set", "engine.kind=remote", "--set", &url, "--set", SECRET, "--set", KEYS];
    Node::start(directory, &[&set[..], &["--set", "cluster.name=gateway"]].concat())
}

#[test]
fn what_is_published_anywhere_is_heard_everywhere_and_kept_at_the_hub() {
    // In one directory, so that both accept the same development tokens.
    let dir = tempfile::tempdir().unwrap();
    let hub = start_hub(dir.path());
    let gateway = start_gateway(dir.path(), &hub);
    let mut followers = [(&hub, "sse"), (&gateway, "sse"), (&gateway, "ws")]
        .map(|(node, transport)| Follower::start(dir.path(), node, transport));
    run(dir.path(), &hub, &["publish", "news", "1", "--json"]);
    run(dir.path(), &gateway, &["publish", "news", "2", "--json"]);
    for follower in &mut followers {
        for n in 1..=2 {
            let event = follower.next();
            assert_eq!((&event["offset"], &event["data"]), (&n.into(), &n.into()));
        }
    }
    let metrics = get(&gateway.admin, "/metrics");
    // Nodes talk to each other by the same road, so that there are more than one.
    let calls = "fanfare_remote_calls_total{service=\"publish\",outcome=";
    assert!(metrics.contains(&format!("{calls}\"failed\"}} 0")), "{metrics}");
    assert!(!metrics.contains(&format!("{calls}\"done\"}} 0")) && metrics.contains(calls), "{metrics}");
    // The gateway keeps nothing: another one reads the same.
    drop(gateway);
    let another = start_gateway(dir.path(), &hub);
    let read = events(&run(dir.path(), &another, &["history", "news", "--json"]));
    assert_eq!(offsets(&read), [1, 2]);
}

#[test]
fn a_hub_stops_although_gateways_listen() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = start_hub(dir.path());
    let gateway = start_gateway(dir.path(), &hub);
    assert!(get(&gateway.admin, "/readyz").starts_with("HTTP/1.1 200"));
    hub.signal(Signal::TERM);
    assert_eq!(hub.wait(), Some(0));
    gateway.logs("the hub's news have ended");
}

#[test]
fn a_gateway_that_is_not_let_in_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start_hub(dir.path());
    let url = format!("engine.remote.url=http://{}", hub.admin);
    let wrong = "engine.remote.secret=another-secret-of-thirty-two-bytes";
    let output = fanfare(dir.path())
        .args(["serve", "--dev", "--set", "engine.kind=remote", "--set", &url, "--set", wrong, "--set", KEYS])
        .args(["--set", "listeners.public.bind=127.0.0.1:0", "--set", "listeners.admin.bind=127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0015") && text.contains("give both the same engine.remote.secret"), "{text}");
}
