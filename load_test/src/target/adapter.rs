//! The adapter file: all that is known of a server under measurement, as data. Fanfare's own is
//! `fanfare.toml` beside this file; those of others are in `load_test/adapters/`. `docs/load-testing.md` explains each key.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// One server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adapter {
    /// What it is called in tables.
    pub(crate) name: String,
    /// What it is and how it is set up, for people.
    #[serde(default)]
    pub(crate) about: String,
    /// Names of ports that the kernel shall choose; each becomes a constant.
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    /// Constants of its own.
    #[serde(default)]
    pub(crate) constants: BTreeMap<String, String>,
    /// Files to write before it starts, into the folder `{dir}`.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Command lines to start, in this order. Without any the server runs already.
    #[serde(default)]
    pub(crate) start: Vec<Vec<String>>,
    /// `host:port` that clients connect to.
    pub(crate) subscribe_at: String,
    /// `host:port` that is published to. Default: the same.
    pub(crate) publish_at: Option<String>,
    /// Addresses that must take connections before anything is measured. Default: the two above.
    #[serde(default)]
    pub(crate) ready: Vec<String>,
    /// Path whose `GET` at `subscribe_at` must be answered with 200 as well.
    pub(crate) ready_path: Option<String>,
    /// The most connections that may be on their way at once; for servers that drop some when many come together.
    #[serde(default = "many")]
    pub(crate) under_way_max: usize,
    /// Whether a reader that was refused while it connected tries again, as it must with a server that drops some.
    #[serde(default)]
    pub(crate) retries: bool,
    /// Name of the topic; `{run}` is different in each run, `{number}` is its number.
    #[serde(default = "topic")]
    pub(crate) topic: String,
    pub(crate) sse: Option<Sse>,
    pub(crate) ws: Option<WebSocket>,
    pub(crate) grpc: Option<Grpc>,
    pub(crate) publish: Option<Publish>,
    /// The token of readers, `{token}`.
    pub(crate) jwt: Option<Jwt>,
}

fn topic() -> String {
    "load-{run}-{number}".to_owned()
}

/// How its streams of Server-Sent Events are opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sse {
    /// Path and query of the `GET`.
    pub(crate) path: String,
    /// Header lines.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// Text for each further topic of a reader; all of them together are `{also}` in the path. Without it a reader has one topic.
    pub(crate) also: Option<String>,
    /// Header line that is added when a reader comes back and has a `{position}`. Without it nobody resumes.
    pub(crate) resume: Option<String>,
    /// A text that shows in the stream that the reader is subscribed. Default: the status 200 does.
    pub(crate) subscribed: Option<String>,
    /// A text that stands in an event which tells of lost events.
    pub(crate) gap: Option<String>,
    #[serde(default)]
    pub(crate) from: From,
}

/// How its connections of `WebSocket` are opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebSocket {
    /// Path and query of the handshake.
    pub(crate) path: String,
    /// Header lines.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// Text for each further topic of a reader; all of them together are `{also}` in the path. Default: a frame `subscribe`
    /// is sent for each.
    pub(crate) also: Option<String>,
    /// Text frames to send after the handshake, in this order.
    #[serde(default)]
    pub(crate) frames: Vec<String>,
    /// A text in the message that says the reader is subscribed. Default: the handshake says it.
    pub(crate) subscribed: Option<String>,
    /// A text in a message that refuses the subscription.
    pub(crate) refused: Option<String>,
    /// Messages to answer, e.g. pings of the application.
    #[serde(default)]
    pub(crate) answers: Vec<Answer>,
    /// The text in front of the position in an event; it ends before the next quote. Without it nobody resumes.
    pub(crate) position: Option<String>,
    /// A text with which a message that tells of lost events begins.
    pub(crate) gap: Option<String>,
    /// Frame that subscribes to one more topic.
    pub(crate) subscribe: Option<String>,
    /// Frame that ends the subscription to one topic.
    pub(crate) unsubscribe: Option<String>,
    /// Frame with which a client publishes.
    pub(crate) publish: Option<String>,
    /// The same that also says when it happened, with `{occurred_at}`. Default: it cannot be said.
    pub(crate) late_publish: Option<String>,
    #[serde(default)]
    pub(crate) from: From,
}

/// How its streams over gRPC are opened: with the messages of `fanfare.v1`, one topic each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grpc {
    /// Path of the method.
    pub(crate) path: String,
}

/// A message that wants an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The whole text of the message.
    pub(crate) to: String,
    /// The text of the answer.
    pub(crate) with: String,
}

/// The server's words for where a subscription begins, `{from}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct From {
    pub(crate) now: String,
    /// Without it no scenario that reads from the start can run.
    pub(crate) start: Option<String>,
}

impl Default for From {
    fn default() -> Self {
        Self { now: "now".to_owned(), start: None }
    }
}

/// How it is published to over HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    #[serde(default = "post")]
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// The body: with `{payload}` for one event, or with `{items}` for one or many.
    pub(crate) body: String,
    /// One of the items.
    #[serde(default)]
    pub(crate) item: String,
    /// The most items of one request.
    #[serde(default = "batch_max")]
    pub(crate) batch_max: usize,
    /// Whether a request may be sent before the one in front of it is answered.
    #[serde(default = "yes")]
    pub(crate) pipelined: bool,
    /// The token of publishers, `{token}`.
    pub(crate) jwt: Option<Jwt>,
}

fn many() -> usize {
    usize::MAX
}

fn yes() -> bool {
    true
}

fn post() -> String {
    "POST".to_owned()
}

fn batch_max() -> usize {
    1000
}

/// A token that is signed here with HS256.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    pub(crate) secret: String,
    /// The claims as JSON; `{user}`, `{now}`, `{expires}` and `{topic}` are filled in.
    pub(crate) claims: String,
}

impl Adapter {
    /// Reads an adapter file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not an adapter", path.display()))
    }

    /// Fanfare's own.
    pub(crate) fn fanfare() -> anyhow::Result<Self> {
        Self::parse(include_str!("fanfare.toml")).context("the built-in adapter is wrong")
    }

    /// The bare loop's; how to start it is not in it.
    pub(crate) fn bare() -> anyhow::Result<Self> {
        Self::parse(include_str!("../bare/bare.toml")).context("the adapter of the bare loop is wrong")
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let adapter: Self = toml::from_str(text)?;
        anyhow::ensure!(adapter.sse.is_some() || adapter.ws.is_some(), "it has neither [sse] nor [ws]");
        Ok(adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_adapter_that_is_shipped_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters");
        let mut names = vec![Adapter::fanfare().unwrap().name];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            names.push(Adapter::read(&path).unwrap().name);
        }
        names.sort();
        assert_eq!(names, ["centrifugo", "fanfare", "mercure", "nchan", "pushpin", "socket.io", "ws"]);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let text = "name = \"x\"\nsubscribe_at = \"h:1\"\n[sse]\npath = \"/\"\nheader = []\n";
        assert!(format!("{:#}", Adapter::parse(text).unwrap_err()).contains("header"));
    }
}
