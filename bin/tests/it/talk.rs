//! Publishing, following and reading back with the client commands, against a node of our own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use fanfare_test_engines::Port;
use rustix::process::Signal;
use serde_json::Value;

use crate::node::{Node, get};
use crate::program::{fanfare, stderr, stdout};

fn client(directory: &Path, node: &Node, args: &[&str]) -> Command {
    let mut command = fanfare(directory);
    command.env("FANFARE_URL", format!("http://{}", node.public));
    command.env("FANFARE_API_URL", format!("http://{}", node.admin)).args(args).arg("--dev");
    command
}

pub(crate) fn run(directory: &Path, node: &Node, args: &[&str]) -> String {
    let output = client(directory, node, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// What the API of a node answers to a credential that may do everything.
pub(crate) fn api(directory: &Path, node: &Node, method: &str, path: &str, body: &str) -> Value {
    let args =
        ["token", "--dev", "--door", "server", "--topics", "*", "--allow", "subscribe,publish,history,query,admin"];
    let token = stdout(&fanfare(directory).args(args).output().unwrap());
    let mut stream = TcpStream::connect(&node.admin).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_published_is_heard_on_both_transports_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    let answer = run(
        dir.path(),
        &node,
        &["publish", "news", "{\"n\":1}", "--name", "greeting", "--id", "one", "--key", "k", "--header", "Lang=en"],
    );
    assert!(answer.contains("position"), "{answer}");
    run(dir.path(), &node, &["publish", "news", "two\nlines"]);
    run(dir.path(), &node, &["publish", "news", "3", "--json"]);
    let mut publish = client(dir.path(), &node, &["publish", "news", "-", "--content-type", "image/png"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    publish.stdin.take().unwrap().write_all(&[0, 159, 146]).unwrap();
    assert!(publish.wait().unwrap().success());

    for transport in ["sse", "ws"] {
        let args = ["subscribe", "news", "--from", "start", "--count", "4", "--json", "--transport", transport];
        let heard = events(&run(dir.path(), &node, &args));
        assert_eq!(offsets(&heard), [1, 2, 3, 4], "{transport}");
        assert_eq!(heard[0]["name"], "greeting", "{transport}");
        assert_eq!((&heard[0]["id"], &heard[0]["data"]["n"]), (&Value::from("one"), &Value::from(1)), "{transport}");
        assert_eq!(heard[1]["data"], "two\nlines", "{transport}");
        assert_eq!(heard[2]["data"], 3, "{transport}");
        assert_eq!((&heard[3]["encoding"], &heard[3]["data"]), (&Value::from("base64"), &Value::from("AJ+S")));
    }
    let history = |args: &[&str]| {
        let args: Vec<_> = ["history", "news", "--json"].iter().chain(args).copied().collect();
        offsets(&events(&run(dir.path(), &node, &args)))
    };
    assert_eq!(history(&[]), [1, 2, 3, 4]);
    assert_eq!(history(&["--last", "2"]), [3, 4]);
    assert_eq!(history(&["--from", "2", "--limit", "2"]), [2, 3]);
    assert_eq!(history(&["--backward", "--limit", "3"]), [4, 3, 2]);
    assert_eq!(history(&["--since", "2000-01-01T00:00:00Z"]), [1, 2, 3, 4]);
    let text = run(dir.path(), &node, &["subscribe", "news", "--from", "last:3", "--count", "1"]);
    assert_eq!(text, "news #2 - two\\nlines\n", "one line an event");
}

#[test]
fn the_demo_page_gets_a_token_that_opens_its_topics_only() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    let get = |path: &str| get(&node.public, path);
    assert!(get("/demo").contains("text/html"));
    let answer = get("/demo/token");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let token = serde_json::from_str::<Value>(body).unwrap()["token"].as_str().unwrap().to_owned();
    // A long poll ends with the first event, so a topic that has one answers at once.
    let status = |topic: &str| {
        let answer = get(&format!("/v1/sse?topic={topic}&poll=1&from=start&token={token}"));
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("news"), "403");
    let heard = client(dir.path(), &node, &["publish", "demo", "hi"]).output().unwrap();
    assert!(heard.status.success(), "{}", stderr(&heard));
    assert_eq!(status("demo"), "200");
    let production = fanfare(dir.path()).args(["config", "print", "--set", "auth.anonymous={}"]).output().unwrap();
    let printed: toml::Table = stdout(&production).parse().unwrap();
    assert_eq!(printed["sse"]["token_in_query"].as_bool(), Some(false));
    assert!(!stdout(&production).contains("demo"));
}

#[test]
fn history_goes_over_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &["--set", "api.page_max=2", "--set", "api.page_default=2"]);
    for n in 0..5 {
        run(dir.path(), &node, &["publish", "news", &n.to_string()]);
    }
    let all = events(&run(dir.path(), &node, &["history", "news", "--json"]));
    assert_eq!(offsets(&all), [1, 2, 3, 4, 5]);
    let back = events(&run(dir.path(), &node, &["history", "news", "--json", "--backward"]));
    assert_eq!(offsets(&back), [5, 4, 3, 2, 1]);
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    for transport in ["sse", "ws"] {
        let output = fanfare(dir.path())
            .args(["subscribe", "news", "--token", "nonsense", "--transport", transport])
            .args(["--url", &format!("http://{}", node.public)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{transport}");
        assert!(stderr(&output).contains("FF-0012"), "{transport}: {}", stderr(&output));
    }
    let output = fanfare(dir.path())
        .args(["publish", "news", "x", "--token", "nonsense", "--url", &format!("http://{}", node.admin)])
        .output()
        .unwrap();
    let text = stderr(&output);
    assert!(text.contains("FF-0012") && text.contains("(401 malformed_token)"), "{text}");
}

#[test]
fn a_user_who_is_blocked_is_sent_away_by_a_running_node() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("fanfare.toml"), "[auth]\nrevocations_file = \"revoked.json\"\n").unwrap();
    let node = Node::start(dir.path(), &[]);
    let token = fanfare(dir.path()).args(["token", "--dev", "--user", "alice", "--topics", "news"]).output().unwrap();
    run(dir.path(), &node, &["publish", "news", "hi"]);
    let mut followers = Vec::new();
    for transport in ["sse", "ws"] {
        let mut follower = fanfare(dir.path());
        follower.args(["subscribe", "news", "--from", "start", "--transport", transport, "--token"]);
        follower.arg(stdout(&token).trim()).args(["--url", &format!("http://{}", node.public)]);
        let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut heard = BufReader::new(follower.stdout.take().unwrap()).lines();
        assert_eq!(heard.next().unwrap().unwrap(), "news #1 - hi", "{transport}");
        followers.push((follower, transport));
    }
    let blocked = fanfare(dir.path()).args(["token", "block", "alice", "--dev"]).output().unwrap();
    assert!(blocked.status.success(), "{}", stderr(&blocked));
    for (follower, transport) in followers {
        let ended = follower.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{transport}");
        assert!(stderr(&ended).contains("FF-0012"), "{transport}: {}", stderr(&ended));
    }
}

/// A follower, and the lines it prints.
pub(crate) struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Follower {
    pub(crate) fn start(directory: &Path, node: &Node, transport: &str) -> Self {
        let args = ["subscribe", "news", "--from", "start", "--json", "--transport", transport];
        let mut child = client(directory, node, &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn followers_come_back_by_themselves_after_a_restart_and_miss_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody else is given it while the node is down.
    let port = Port::reserve();
    let public = format!("listeners.public.bind={}", port.address());
    let set = ["--set", &public, "--set", "drain.window=200ms"];
    let mut node = Node::start(dir.path(), &set);
    let mut followers = [Follower::start(dir.path(), &node, "sse"), Follower::start(dir.path(), &node, "ws")];
    run(dir.path(), &node, &["publish", "news", "1", "--json"]);
    for follower in &mut followers {
        assert_eq!(follower.next()["offset"], 1);
    }
    for (round, signal) in [Signal::TERM, Signal::KILL].into_iter().enumerate() {
        node.signal(signal);
        let code = node.wait();
        assert_eq!(code, if signal == Signal::TERM { Some(0) } else { None }, "all clients were sent away in time");
        node = Node::start(dir.path(), &set);
        run(dir.path(), &node, &["publish", "news", "again", "--name", "restart"]);
        for follower in &mut followers {
            let event = follower.next();
            assert_eq!((&event["offset"], &event["name"]), (&Value::from(round + 2), &Value::from("restart")));
        }
    }
}
