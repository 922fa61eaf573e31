//! The section `engine.redis` of the configuration.

use std::path::PathBuf;

use fanfare_auth::{Secret, SecretUrl};
use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the servers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One server, at the first of `urls` that is a primary.
    #[default]
    Standalone,
    /// `urls` are Sentinels; they say which server is the primary of `service`.
    Sentinel,
    /// `urls` are some nodes of a Redis Cluster; they name the others.
    Cluster,
}

/// What a node listens to. Every node of one `prefix` must have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interest {
    /// A channel per topic: a node hears the topics that its clients read, and no others.
    #[default]
    Topic,
    /// A channel per partition: a node hears everything and drops what nobody reads. Cheaper where most nodes read most
    /// topics, or topics come and go quickly.
    Partition,
}

impl Interest {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Partition => "partition",
        }
    }
}

/// Where Redis or Valkey is and how it is used.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The servers: `redis://host:port`, or `rediss://…` for TLS. Default `redis://127.0.0.1:6379`.
    pub urls: Vec<SecretUrl>,
    /// What `urls` are. Default `standalone`.
    pub mode: Mode,
    /// The name under which the Sentinels know the primary. Default `mymaster`, as in their documentation.
    pub service: String,
    /// The user, if the servers have several (ACL). Default: none; one in `urls` counts.
    pub username: Option<String>,
    /// The password. Default: none; one in `urls` counts.
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,
    /// A file whose first line is the password. Default: none.
    pub password_file: Option<PathBuf>,
    /// The password of the Sentinels, which have their own. Default: none.
    #[schemars(with = "Option<String>")]
    pub sentinel_password: Option<Secret>,
    /// The certificates of authorities (PEM) that may vouch for the servers, for `rediss`. Default: the public ones.
    pub ca_file: Option<PathBuf>,
    /// What every key and channel begins with, so that several clusters of Fanfare can share a server. 1 to 32 of
    /// `[A-Za-z0-9_.-]`. Default `fanfare`.
    pub prefix: String,
    /// How long an operation may take, with all its retries during a failover. Default 5s: a client still waits, and a
    /// failover by Sentinel or of a Cluster takes two to four.
    pub timeout: Duration,
    /// How many replicas must have an event before it is acknowledged (`WAIT`). Default 0: the primary's word is enough.
    /// 1 makes the loss of acknowledged events in a failover rare; it does not exclude it.
    pub replicas: u8,
    /// How long to wait for them. Default 500ms: a replica that lags more is out of step, and its publisher should know.
    pub replicas_timeout: Duration,
    /// What a node listens to. Default `topic`.
    pub interest: Interest,
    /// The most bytes of an event that travel with its announcement; of a larger one only its place is announced, and
    /// nodes read it. Default 64KiB: servers cut off a subscriber with 32 MB waiting.
    pub announced_bytes_max: ByteSize,
    /// The most bytes an event may have. Default 1MiB: all of them are in the server's memory.
    pub event_bytes_max: ByteSize,
    /// How often a connection that only listens is tried out by an announcement to itself. Default 2s: one that hears
    /// nothing more (its server was demoted behind its back) is replaced within twice that.
    pub probe_interval: Duration,
    /// How often Sentinels or the Cluster are asked which servers are primaries, beside when a server says that it is not.
    /// Default 1s: a question of a hundred bytes.
    pub map_interval: Duration,
    /// How long the place in the order of a topic that keeps nothing is remembered without a reader or a publisher.
    /// Default 1h: longer than any node is away that still has readers.
    pub passing_memory: Duration,
    /// How long a topic is remembered that has become empty: its epoch, its last offset, its place in lists of topics.
    /// Default 90d: longer than clients keep a position; whoever comes back later is told of a gap.
    pub topic_memory: Duration,
    /// How many publishes may wait for the servers; beyond it they are refused as overloaded. Default 65536: a few
    /// seconds of what one server takes.
    pub queue_events_max: usize,
    /// How many events of one topic go with one call. Default 128: the cost of a call is spread, and no script holds up
    /// the server for a millisecond.
    pub group_events_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".into()],
            mode: Mode::default(),
            service: "mymaster".to_owned(),
            username: None,
            password: None,
            password_file: None,
            sentinel_password: None,
            ca_file: None,
            prefix: "fanfare".to_owned(),
            timeout: Duration::from_secs(5),
            replicas: 0,
            replicas_timeout: Duration(std::time::Duration::from_millis(500)),
            interest: Interest::default(),
            announced_bytes_max: ByteSize::kib(64),
            event_bytes_max: ByteSize::mib(1),
            probe_interval: Duration::from_secs(2),
            map_interval: Duration::from_secs(1),
            passing_memory: Duration::from_secs(3600),
            topic_memory: Duration::from_secs(90 * 24 * 3600),
            queue_events_max: 65_536,
            group_events_max: 128,
        }
    }
}

impl Options {
    /// Whether the values fit together; says which key to change and how.
    pub fn validate(&self) -> Result<(), String> {
        if self.urls.is_empty() {
            return Err("engine.redis.urls is empty: name at least one server".to_owned());
        }
        for url in &self.urls {
            if redis::parse_redis_url(url.reveal()).is_none() {
                return Err("engine.redis.urls: each must be `redis://host:port` or `rediss://host:port`".to_owned());
            }
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if self.prefix.is_empty() || self.prefix.len() > 32 || !self.prefix.chars().all(named) {
            return Err("engine.redis.prefix must be 1 to 32 of letters, digits, `_`, `.` and `-`".to_owned());
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err("engine.redis.password and password_file are both set: keep one".to_owned());
        }
        let spans = [
            ("timeout", self.timeout),
            ("probe_interval", self.probe_interval),
            ("map_interval", self.map_interval),
            ("passing_memory", self.passing_memory),
            ("topic_memory", self.topic_memory),
        ];
        if let Some((key, _)) = spans.iter().find(|(_, span)| span.get() < std::time::Duration::from_millis(10)) {
            return Err(format!("engine.redis.{key} must be at least 10ms"));
        }
        if self.replicas > 0 && self.replicas_timeout.get() * 2 >= self.timeout.get() {
            return Err("engine.redis.replicas_timeout must be shorter than half of engine.redis.timeout".to_owned());
        }
        if self.queue_events_max == 0 || self.group_events_max == 0 || self.group_events_max > 1000 {
            return Err("engine.redis.queue_events_max must be at least 1 and group_events_max 1 to 1000".to_owned());
        }
        if self.event_bytes_max.as_usize() > ByteSize::mib(64).as_usize() {
            return Err("engine.redis.event_bytes_max must be at most 64MiB".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        assert_eq!(Options::default().validate(), Ok(()));
        for (options, key) in [
            (Options { urls: Vec::new(), ..Options::default() }, "urls"),
            (Options { urls: vec!["127.0.0.1:6379".into()], ..Options::default() }, "urls"),
            (Options { prefix: "a{b".to_owned(), ..Options::default() }, "prefix"),
            (Options { probe_interval: Duration::from_secs(0), ..Options::default() }, "probe_interval"),
            (
                Options { replicas: 1, replicas_timeout: Duration::from_secs(9), ..Options::default() },
                "replicas_timeout",
            ),
            (Options { group_events_max: 0, ..Options::default() }, "group_events_max"),
        ] {
            let refused = options.validate().unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
