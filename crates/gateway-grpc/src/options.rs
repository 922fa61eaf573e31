//! The section `grpc` of the configuration.

use fanfare_model::{ByteSize, Duration};
use fanfare_session::client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits and times of gRPC calls and streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The web origins whose pages may call by gRPC-Web, exactly as browsers write them, e.g.
    /// `"https://app.example.com"`. `"*"` lets every page, which still needs a token. Default: none; a page of the
    /// host that it calls needs no entry.
    pub allowed_origins: Vec<String>,
    /// The most bytes of one message of a client, compressed and not. Default: 4 MiB, what gRPC libraries take by
    /// themselves.
    pub message_bytes_max: ByteSize,
    /// How long a unary call may take, its client's own deadline (`grpc-timeout`) aside. Default: 60 s, beyond
    /// `pull_wait_max` with a busy log.
    pub call_timeout: Duration,
    /// The most events of one `Publish`. Default: 1000, as in the HTTP API.
    pub batch_max: usize,
    /// The most requests of one `PublishStream` that are not answered yet; no further one is read before. Default:
    /// 64, enough to keep the log busy over a network of 50 ms.
    pub publish_unanswered_max: usize,
    /// The most topics of one `Subscribe`. Default: 100; what needs more opens another stream, or a `Session`.
    pub topics_max: usize,
    /// The most events of one `Pull`. Default: 1000.
    pub pull_events_max: usize,
    /// A `Pull` ends with the event that brings its data to this size, and so does a page of history. Default: 1 MiB.
    pub page_bytes_max: ByteSize,
    /// The longest that a `Pull` waits for an event, whatever it asks for. Default: 30 s; the client pulls again.
    pub pull_wait_max: Duration,
    /// The most items of one page of a list. Default: 1000.
    pub page_max: usize,
    /// How many frames a second a session may send in the long run. Default: 50, as over WebSocket. One that is refused
    /// gets an error; whoever goes on regardless is sent away.
    pub commands_per_second: u32,
    /// How many of them at once. Default: 300, room to subscribe to everything after a reconnect.
    pub commands_burst: u32,
    /// After how long a command of a session is given up and answered with `timeout`. Default: 30 s, longer than a log
    /// takes to sync when it is busy.
    pub command_timeout: Duration,
    /// How long a session may take to say who it is. Default: 10 s.
    pub connect_timeout: Duration,
    /// The most sessions of one worker that have not said who they are. Default: 4096; more are answered
    /// `UNAVAILABLE`.
    pub unconnected_max: usize,
    /// A stream whose client has taken nothing for this long while something waited lets go of all it holds; its client
    /// can come back and resume. Default: 15 s, a short tunnel.
    pub stall_timeout: Duration,
    /// The most bytes of frames that are put together for one piece of a stream; a larger frame goes alone. Default:
    /// 16 KiB, one frame of HTTP/2, and what a client that reads nothing can hold of this gateway's memory.
    pub write_batch: ByteSize,
    /// The most events of one reply with history. Default: 1000.
    pub history_events_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        let limits = client::Limits::default();
        Self {
            allowed_origins: Vec::new(),
            message_bytes_max: ByteSize::mib(4),
            call_timeout: Duration::from_secs(60),
            batch_max: 1000,
            publish_unanswered_max: 64,
            topics_max: 100,
            pull_events_max: 1000,
            page_bytes_max: ByteSize::mib(1),
            pull_wait_max: Duration::from_secs(30),
            page_max: 1000,
            commands_per_second: limits.commands_per_second,
            commands_burst: limits.commands_burst,
            command_timeout: Duration(limits.command_timeout),
            connect_timeout: Duration::from_secs(10),
            unconnected_max: 4096,
            stall_timeout: Duration::from_secs(15),
            write_batch: ByteSize::kib(16),
            history_events_max: limits.history_events_max,
        }
    }
}

impl Options {
    /// Whether these can work together. The error names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("batch_max", self.batch_max),
            ("publish_unanswered_max", self.publish_unanswered_max),
            ("topics_max", self.topics_max),
            ("pull_events_max", self.pull_events_max),
            ("page_max", self.page_max),
            ("commands_per_second", self.commands_per_second as usize),
            ("commands_burst", self.commands_burst as usize),
            ("unconnected_max", self.unconnected_max),
            ("history_events_max", self.history_events_max),
        ] {
            if value == 0 {
                return Err(format!("grpc.{key} is 0; write at least 1"));
            }
        }
        for (key, value) in [
            ("message_bytes_max", self.message_bytes_max),
            ("page_bytes_max", self.page_bytes_max),
            ("write_batch", self.write_batch),
        ] {
            if value < ByteSize::kib(1) {
                return Err(format!("grpc.{key} is {value}; write at least \"1KiB\""));
            }
        }
        for (key, value) in [
            ("call_timeout", self.call_timeout),
            ("command_timeout", self.command_timeout),
            ("connect_timeout", self.connect_timeout),
            ("stall_timeout", self.stall_timeout),
        ] {
            if value < Duration::from_millis(100) {
                return Err(format!("grpc.{key} is {value}; write at least \"100ms\""));
            }
        }
        if self.call_timeout <= self.pull_wait_max {
            return Err(format!(
                "grpc.call_timeout is {}, so that a pull of grpc.pull_wait_max ({}) could not be answered; make it longer",
                self.call_timeout, self.pull_wait_max
            ));
        }
        self.allowed_origins.iter().try_for_each(|origin| check_origin(origin))
    }

    /// The limits of sessions.
    pub(crate) fn limits(&self) -> client::Limits {
        client::Limits {
            commands_per_second: self.commands_per_second,
            commands_burst: self.commands_burst,
            command_timeout: self.command_timeout.get(),
            history_events_max: self.history_events_max,
            history_bytes_max: self.page_bytes_max.as_usize(),
        }
    }
}

fn check_origin(origin: &str) -> Result<(), String> {
    let right = origin == "*"
        || origin.split_once("://").is_some_and(|(scheme, host)| {
            let bytes = origin.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
            bytes && !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '*'])
        });
    if right {
        return Ok(());
    }
    Err(format!(
        "grpc.allowed_origins holds {origin:?}, which is no origin; write it like \"https://app.example.com\" or \
         \"http://localhost:3000\", or \"*\" for every origin"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
        let open = Options { allowed_origins: vec!["*".into(), "http://localhost:3000".into()], ..Options::default() };
        assert_eq!(open.validate(), Ok(()));
    }

    #[test]
    fn mistakes_name_the_key() {
        for (json, part) in [
            (r#"{"topics_max":0}"#, "grpc.topics_max is 0"),
            (r#"{"write_batch":"10B"}"#, "grpc.write_batch is 10B"),
            (r#"{"stall_timeout":"0s"}"#, "grpc.stall_timeout is 0s"),
            (r#"{"call_timeout":"10s"}"#, "grpc.call_timeout is 10s, so that a pull"),
            (r#"{"allowed_origins":["app.example.com"]}"#, "is no origin"),
            (r#"{"allowed_origins":["https://a/"]}"#, "is no origin"),
            (r#"{"allowed_origins":["https://A"]}"#, "is no origin"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            let error = options.validate().unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
