//! Other people's client libraries, driven by the small programs in `tests/clients`.
//!
//! A program gets its orders as one JSON argument, prints one JSON value a line for everything that its library
//! reports ([`Observed`]), and sends every line of its standard input as a frame if its library can send.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{LogCapture, within};

/// What a library reported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The connection is open.
    Open,
    /// An event of a stream; the name is `message` if it had none.
    Event {
        /// Its type.
        name: String,
        /// Its data.
        data: String,
        /// The last event id with it.
        id: String,
    },
    /// The text of a WebSocket message.
    Frame(String),
    /// The connection was closed.
    Closed {
        /// WebSocket's close code.
        code: u16,
        /// And its reason.
        reason: String,
    },
    /// The library reported an error; most go on by themselves.
    Error(String),
    /// The library has given up, or has come to its end.
    End,
}

/// A running client program. Dropping it kills it.
pub struct Script {
    name: String,
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    errors: LogCapture,
}

impl Script {
    /// Starts `tests/clients/node/<name>`.
    pub fn node(name: &str, orders: &Value) -> Self {
        let modules = clients().join("node/node_modules");
        assert!(modules.is_dir(), "there is no {}: run dev/setup first", modules.display());
        Self::start(Path::new("node"), &clients().join("node").join(name), orders)
    }

    /// Starts `tests/clients/python/<name>`.
    pub fn python(name: &str, orders: &Value) -> Self {
        let python = clients().join(".venv/bin/python");
        assert!(python.is_file(), "there is no {}: run dev/setup first", python.display());
        Self::start(&python, &clients().join("python").join(name), orders)
    }

    fn start(interpreter: &Path, program: &Path, orders: &Value) -> Self {
        let mut child = Command::new(interpreter)
            .arg(program)
            .arg(orders.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", interpreter.display()));
        let errors = LogCapture::default();
        let stderr = child.stderr.take().expect("stderr is piped");
        errors.follow(std::fs::File::from(stderr.into_owned_fd().expect("a pipe")));
        let stdin = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, _child: child, stdin, lines, errors }
    }

    /// What it reports next, which must come.
    pub async fn next(&mut self) -> Observed {
        let what = format!("a line of {}", self.name);
        match within(&what, self.lines.next_line()).await.expect("its output is UTF-8") {
            Some(line) => {
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {} said {line}", self.name))
            }
            None => Observed::End,
        }
    }

    /// Sends a frame through it.
    pub async fn send(&mut self, frame: &str) {
        self.stdin.write_all(format!("{frame}\n").as_bytes()).await.expect("the program is running");
        self.stdin.flush().await.expect("the program is running");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.errors.show(&self.name);
        }
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}
