//! The life of a node: ports, readiness, signals.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use fanfare_test_engines::Port;
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{fanfare, stderr, stdout};

/// A node of our own, which ends with the test.
pub(crate) struct Node {
    child: Child,
    /// Where clients connect.
    pub(crate) public: String,
    /// Where the API and the node's own pages are.
    pub(crate) admin: String,
    /// What it has logged since it was ready; what nobody asks for is dropped when there is much.
    log: Receiver<String>,
}

/// How many lines of a log wait to be asked for.
const LOG_LINES: usize = 10_000;
/// How long a line of the log, or of the page of metrics, may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn serve(directory: &Path) -> Command {
    let mut command = fanfare(directory);
    command.args(["serve", "--dev", "--set", "listeners.public.bind=127.0.0.1:0"]);
    command.args(["--set", "listeners.admin.bind=127.0.0.1:0", "--set", "workers=2", "--ports-file", "ports.json"]);
    command
}

impl Node {
    pub(crate) fn start(directory: &Path, more: &[&str]) -> Self {
        let mut child = serve(directory)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The log says when it is ready; it goes on being read, so that the node never waits for us.
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map_while(Result::ok).find(|line| line.contains(" ready "));
        assert!(ready.is_some(), "the node ended before it was ready");
        let (lines, kept) = sync_channel(LOG_LINES);
        std::thread::spawn(move || log.map_while(Result::ok).for_each(|line| drop(lines.try_send(line))));
        let ports: PathBuf = directory.join("ports.json");
        let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(ports).unwrap()).unwrap();
        assert_eq!(ports["pid"], child.id());
        let address = |name: &str| ports["listeners"][name].as_str().unwrap().to_owned();
        Self { child, public: address("public"), admin: address("admin"), log: kept }
    }

    /// Waits until the node logs a line that holds `text`, and returns the line.
    pub(crate) fn logs(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.log.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("the node never logged {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until the node's page of metrics has this line.
    pub(crate) fn counts(&self, line: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let metrics = self.get("/metrics");
            if metrics.lines().any(|told| told == line) {
                return;
            }
            assert!(Instant::now() < until, "{line} is not in {metrics}");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn get(&self, path: &str) -> String {
        get(&self.admin, path)
    }

    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// The whole answer to a GET.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_node_serves_and_stops_at_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody else is given it when it is free.
    let port = Port::reserve();
    let bind = format!("listeners.admin.bind={}", port.address());
    let serves = "listeners.admin.serves=['health', 'metrics', 'api', 'api']";
    let mut node = Node::start(dir.path(), &["--set", &bind, "--set", serves]);
    assert!(node.get("/livez").starts_with("HTTP/1.1 200"));
    assert!(node.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = node.get("/metrics");
    assert!(metrics.contains("fanfare_connections_accepted_total"), "{metrics}");
    assert!(node.get("/nothing").starts_with("HTTP/1.1 404"));
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0), "no connection is open, so the drain ends at once");
    assert!(TcpStream::connect(&node.admin).is_err(), "the port is free");
}

#[test]
fn a_restart_finds_its_store_and_its_port() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let bind = format!("listeners.admin.bind={}", port.address());
    let mut node = Node::start(dir.path(), &["--set", &bind]);
    node.signal(Signal::INT);
    assert_eq!(node.wait(), Some(0));
    let mut again = Node::start(dir.path(), &["--set", &bind]);
    again.signal(Signal::TERM);
    assert_eq!(again.wait(), Some(0));
}

#[test]
fn the_key_of_resume_tokens_outlives_a_restart_unless_nothing_does() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("data/resume.key");
    let mut node = Node::start(dir.path(), &["--set", "engine.kind=memory"]);
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0));
    assert!(!key.exists(), "a node that keeps nothing keeps no key");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut node = Node::start(dir.path(), &[]);
        kept.push(std::fs::read_to_string(&key).unwrap());
        node.signal(Signal::TERM);
        assert_eq!(node.wait(), Some(0));
    }
    assert_eq!(kept[0], kept[1]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// A connection that is open while the node drains: a publish whose body does not come.
fn unfinished_publish(node: &Node, directory: &Path) -> TcpStream {
    let args = ["token", "--dev", "--door", "server", "--topics", "news", "--allow", "publish"];
    let token = stdout(&fanfare(directory).args(args).output().unwrap());
    let mut stream = TcpStream::connect(&node.admin).unwrap();
    write!(
        stream,
        "POST /v1/publish HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nexpect: 100-continue\r\n\r\n",
        token.trim()
    )
    .unwrap();
    // The node asks for the body, so it has begun to work on the request.
    let mut answer = [0; 21];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue");
    stream
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let bind = format!("listeners.admin.bind={}", port.address());
    let mut node =
        Node::start(dir.path(), &["--set", &bind, "--set", "drain.window=1h", "--set", "api.body_timeout=1h"]);
    let _open = unfinished_publish(&node, dir.path());
    node.signal(Signal::TERM);
    // It drains when it accepts no more.
    while TcpStream::connect(&node.admin).is_ok() {
        std::thread::yield_now();
    }
    assert!(node.child.try_wait().unwrap().is_none(), "it waits for the open connection");
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(1));
}

#[test]
fn a_drain_ends_when_its_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let window = ["--set", "drain.window=200ms", "--set", "drain.grace=100ms", "--set", "api.body_timeout=1h"];
    let mut node = Node::start(dir.path(), &window);
    let _open = unfinished_publish(&node, dir.path());
    let since = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(1), "a connection was cut, and the exit code says so");
    assert!(since.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_taken_port_is_told_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("listeners.admin.bind={}", taken.local_addr().unwrap());
    let output = serve(dir.path()).args(["--set", &bind]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0003") && text.contains("`admin`") && text.contains("listeners.admin.bind"), "{text}");
    assert!(!dir.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_store_in_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::start(dir.path(), &[]);
    let output = serve(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0005") && text.contains("in use by another process"), "{text}");
}

#[test]
fn a_developer_is_told_what_to_paste() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = serve(dir.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        text.push_str(&line);
        text.push('\n');
        if line.contains("in a browser") {
            break;
        }
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let secret = std::fs::read_to_string(dir.path().join("data/dev-secret")).unwrap();
    for part in [secret.trim(), " token --dev", "curl -N", "/v1/publish", "/demo"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
