//! How to reach the servers, and what to make there.

use std::path::PathBuf;

use fanfare_auth::Secret;
use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;

/// Section `[engine.nats]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The servers, e.g. `["nats://10.0.0.1:4222", "tls://10.0.0.2:4222"]`; the others of a cluster are learnt from them.
    /// `url = "nats://…"` says it of one. Default: one on this machine.
    #[serde(alias = "url", deserialize_with = "one_or_many")]
    pub urls: Vec<String>,
    /// A user name, if the servers ask for one. Default: none.
    pub username: Option<String>,
    /// The user's password. Default: none.
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,
    /// A token, if the servers ask for one. Default: none.
    #[schemars(with = "Option<String>")]
    pub token: Option<Secret>,
    /// A file with a JWT and an `NKey` seed (`*.creds`). Default: none.
    pub credentials_file: Option<PathBuf>,
    /// A PEM file with the authorities to trust for TLS besides those of the system. Default: none.
    pub ca_file: Option<PathBuf>,
    /// The `JetStream` domain, for servers behind leaf nodes. Default: none.
    pub domain: Option<String>,
    /// What the names of streams and subjects begin with, so that several clusters may share an account:
    /// 1–32 of `[A-Za-z0-9_-]`. Default `fanfare`.
    pub prefix: String,
    /// On how many servers every event is: 1, 3 or 5. An acknowledged event is on most of them. Default 1; take 3 with a
    /// cluster, so that a server may fail.
    pub replicas: u8,
    /// Whether the servers write to the disk before they acknowledge (`jetstream { sync_interval: always }`), which they do
    /// not tell and which costs them much. Without, an acknowledged event is handed to the operating system of most
    /// replicas, and topics may ask for at most `durability = "buffered"`. Default `false`, as is NATS's own.
    pub synced: bool,
    /// How long a server remembers event ids; topics may ask for at most this. Default 5m, which is what topics ask for
    /// by default; costs the servers about 100 bytes for each event of that time.
    pub idempotency_window: Duration,
    /// Whether the time in the answer to a publish is exactly the event's, for which every event is read back. Default
    /// `false`: it is the servers' time as this node knows it, off by about a round trip; the event's own is the same for
    /// every reader in any case.
    pub exact_times: bool,
    /// How long an operation is tried before it fails as unavailable. Default 5s: a client gives up not much later.
    pub timeout: Duration,
    /// How many events may be under way to the servers; beyond it publishing is refused as overloaded. Default 16384:
    /// about a second of what one stream takes.
    pub in_flight_max: usize,
    /// In how many parts the live subjects of a kind are divided; a node listens to the parts in which it has a topic.
    /// More parts spare a node news of topics it does not serve, and cost about 7 KB of its memory each. Every node must
    /// have the same. Default 1024.
    pub live_parts: u32,
    /// How many messages of a part may wait in this node; beyond it they are dropped, and found again by comparing
    /// heads. Default 8192: a second of a busy stream.
    pub live_waiting_max: usize,
    /// The memory for the latest events of topics that keep nothing, on each server. Default 64 MiB; above it the oldest
    /// go, of which only their order is of use.
    pub passing_bytes_max: ByteSize,
    /// For how long the order of a quiet topic that keeps nothing is remembered. Default 10m; after that it goes on
    /// anyhow, and only who resumes from before is told less exactly.
    pub passing_age_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            urls: vec!["nats://127.0.0.1:4222".to_owned()],
            username: None,
            password: None,
            token: None,
            credentials_file: None,
            ca_file: None,
            domain: None,
            prefix: "fanfare".to_owned(),
            replicas: 1,
            synced: false,
            idempotency_window: Duration::from_secs(300),
            exact_times: false,
            timeout: Duration::from_secs(5),
            in_flight_max: 16_384,
            live_parts: 1024,
            live_waiting_max: 8192,
            passing_bytes_max: ByteSize::mib(64),
            passing_age_max: Duration::from_secs(600),
        }
    }
}

impl Options {
    /// Whether the values make sense; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.urls.is_empty() {
            return Err("urls is empty; name at least one server, e.g. \"nats://127.0.0.1:4222\"".to_owned());
        }
        if self.urls.iter().any(|url| url.contains('@')) {
            return Err(
                "urls holds a user or a password, which is not used from there; set username and password, or token"
                    .to_owned(),
            );
        }
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !(1..=32).contains(&self.prefix.len()) || !self.prefix.chars().all(word) {
            return Err("prefix must be 1 to 32 of letters, digits, `_` and `-`".to_owned());
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            return Err("replicas must be 1, 3 or 5".to_owned());
        }
        if self.username.is_some() != self.password.is_some() {
            return Err("username and password go together; set both or none".to_owned());
        }
        for (key, zero) in [
            ("timeout", self.timeout.get().is_zero()),
            ("in_flight_max", self.in_flight_max == 0),
            ("live_parts", self.live_parts == 0),
            ("live_waiting_max", self.live_waiting_max == 0),
            ("passing_bytes_max", self.passing_bytes_max.0 == 0),
            ("passing_age_max", self.passing_age_max.get() < std::time::Duration::from_secs(1)),
        ] {
            if zero {
                return Err(format!("{key} is too small for anything to pass; leave it out for the default"));
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.validate().map_err(|problem| Error::Configuration(format!("engine.nats.{problem}")))
    }
}

/// One text, or a list of texts.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(String),
        Many(Vec<String>),
    }
    Form::deserialize(deserializer).map(|form| match form {
        Form::One(text) => vec![text],
        Form::Many(texts) => texts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_may_be_named_as_such() {
        for json in [r#"{"url":"nats://a"}"#, r#"{"urls":["nats://a"]}"#] {
            assert_eq!(serde_json::from_str::<Options>(json).unwrap().urls, ["nats://a"]);
        }
    }

    #[test]
    fn the_defaults_are_valid_and_mistakes_name_their_key() {
        Options::default().validate().unwrap();
        for (json, key) in [
            (r#"{"urls":[]}"#, "urls"),
            (r#"{"urls":["nats://a:hush@b"]}"#, "urls"),
            (r#"{"prefix":"a.b"}"#, "prefix"),
            (r#"{"replicas":2}"#, "replicas"),
            (r#"{"username":"a"}"#, "username"),
            (r#"{"timeout":"0s"}"#, "timeout"),
            (r#"{"live_parts":0}"#, "live_parts"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            assert!(options.validate().unwrap_err().starts_with(key), "{json}");
        }
    }
}
