//! The client examples of the protocol pages, as they stand there: they hear, and go on where they were cut off.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Cut, Proxy, Server, fresh_topic, within};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// What a page shows is what is run.
#[test]
fn the_pages_show_the_examples_as_they_are() {
    for protocol in ["sse", "websocket", "grpc"] {
        let page = std::fs::read_to_string(docs().join(format!("protocol/{protocol}.md"))).expect("a page");
        for language in ["py", "mjs", "rs"] {
            let file = format!("examples/{protocol}_listener.{language}");
            let text = std::fs::read_to_string(docs().join(&file)).expect("an example");
            // What the lints of this repository want is nobody else's concern.
            let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("#![expect(")).collect();
            assert!(page.contains(&text), "docs/protocol/{protocol}.md shows docs/{file} word for word");
        }
    }
}

/// An example, running.
struct Example {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(file: &str, proxy: &Proxy, topic: &str) -> Self {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/proto/proto");
        let path = docs().join("examples").join(file);
        let (name, language) = file.split_once('.').expect("a file has an ending");
        let mut command = match language {
            "py" => {
                let mut command = Command::new(clients.join(".venv/bin/python"));
                command.arg(&path).env("PYTHONPATH", &protos);
                command
            }
            "mjs" => {
                // Beside the modules that it imports.
                let beside = clients.join("node").join(format!(".example-{name}.mjs"));
                std::fs::copy(&path, &beside).expect("the folder is ours");
                let mut command = Command::new("node");
                command.arg(beside);
                command
            }
            _ => {
                let test = std::env::current_exe().expect("a running program has a path");
                let profile = test.ancestors().nth(2).expect("a test runs from target/<profile>/deps");
                Command::new(profile.join("examples").join(name))
            }
        };
        let mut child = command
            .env("FANFARE_URL", format!("http://{}", proxy.address()))
            .env("FANFARE_GRPC", proxy.address().to_string())
            .env("FANFARE_PROTOS", &protos)
            .env("FANFARE_TOKEN", Token::client().mint())
            .env("TOPIC", topic)
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { _child: child, lines }
    }

    /// The next line that is no remark.
    async fn line(&mut self) -> String {
        loop {
            let line = within("a line of the example", self.lines.next_line()).await.expect("text").expect("a line");
            if !line.starts_with('#') {
                return line;
            }
        }
    }
}

async fn it_hears_and_goes_on(file: &str) {
    let server = Server::start(Config::new()).await;
    let proxy = Proxy::start(server.public()).await;
    let topic = fresh_topic("example");
    let api = server.api();
    api.publish_text(&topic, "before").await;
    let mut example = Example::start(file, &proxy, &topic);
    assert_eq!(example.line().await, "before", "{file}");
    api.publish_text(&topic, "live").await;
    assert_eq!(example.line().await, "live", "{file}");
    proxy.cut(Cut::Reset);
    api.publish_text(&topic, "meanwhile").await;
    assert_eq!(example.line().await, "meanwhile", "{file}");
    api.publish_text(&topic, "after").await;
    assert_eq!(example.line().await, "after", "{file}");
}

macro_rules! examples {
    ($($name:ident: $file:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            it_hears_and_goes_on($file).await;
        })+
    };
}

examples!(
    sse_in_python: "sse_listener.py",
    sse_in_javascript: "sse_listener.mjs",
    sse_in_rust: "sse_listener.rs",
    websocket_in_python: "websocket_listener.py",
    websocket_in_javascript: "websocket_listener.mjs",
    websocket_in_rust: "websocket_listener.rs",
    grpc_in_python: "grpc_listener.py",
    grpc_in_javascript: "grpc_listener.mjs",
    grpc_in_rust: "grpc_listener.rs",
);
