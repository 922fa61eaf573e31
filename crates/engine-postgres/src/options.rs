//! Where the server is, and what a node may ask of it.

use std::path::PathBuf;

use fanfare_auth::SecretUrl;
use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The engine `postgres`: section `engine.postgres`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The server: `postgres://user:password@host:5432/database`. TLS by its parameters `sslmode` (`prefer`; set
    /// `verify-full` for a server in another network), `sslrootcert`, `sslcert` and `sslkey`. A pooler between must not
    /// hand one connection to several clients in turn (`PgBouncer`: `pool_mode = session`). Default
    /// `postgres://127.0.0.1:5432/fanfare`.
    pub url: SecretUrl,
    /// Other servers of the same cluster, tried in order when the one at `url` cannot be reached or takes no writes: the
    /// one that does is used. Default: none, for one server, or an address that follows the server that takes writes.
    pub standby_urls: Vec<SecretUrl>,
    /// A file with the password, for URLs without one. Default: none.
    pub password_file: Option<PathBuf>,
    /// The schema in the database that holds everything, made if it is not there: clusters with different schemas share
    /// a database. Default `fanfare`.
    pub schema: String,
    /// The longest that anything asked of the server may take before it counts as unavailable. Default 5s: what a
    /// publisher waits before it tries again.
    pub timeout: Duration,
    /// Connections for reading and for everything but publishing. Default 8. A node has `connections` + 2 × `writers` + 3
    /// at most, and for a moment up to 4 more for each writer some of whose topics are locked by others.
    pub connections: u32,
    /// Connections that publish; topics are spread over them, and each sends all that waits in one transaction. Default
    /// 4: more do not make a disk write faster, fewer wait for each other.
    pub writers: u32,
    /// The most events of one transaction. Default 512: beyond it the time per event does not fall any more, and others
    /// wait longer for the locks of its topics.
    pub batch_events_max: usize,
    /// The most bytes that may wait to be published; beyond it publishers are told to come back later. Default 64 MiB.
    pub queue_bytes_max: ByteSize,
    /// The most bytes an event may have. Default 16 MiB: an event is copied to every reader, so that what is larger
    /// belongs in a file store, with a link to it in the event.
    pub event_bytes_max: ByteSize,
    /// How soon after a publish the other nodes are told to look, at the earliest: one message for all that is published
    /// in the meantime. Default 5ms, because the server sends such messages one at a time.
    pub bell_interval: Duration,
    /// How often a node looks for events without being told, while there are some. It is the delay of what applications
    /// publish themselves. Default 100ms.
    pub poll_active: Duration,
    /// How often it looks when there was nothing for ten seconds. Default 1s.
    pub poll_idle: Duration,
    /// So many days' tables are made ahead. Default 2: a node that removes old events runs at least once in that time.
    pub days_ahead: u16,
    /// How long events that nobody keeps stay in the table of a day that others still keep some of, at least. Default
    /// 24h; never shorter than the longest `idempotency_window`, because they say which ids were there.
    pub dead_for: Duration,
    /// Into how many shards presence is divided, when its tables are made; afterwards it stays so. Default 16: so many
    /// changes at a time, and so many nodes that can share its work.
    pub shards: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: SecretUrl::new("postgres://127.0.0.1:5432/fanfare"),
            standby_urls: Vec::new(),
            password_file: None,
            schema: "fanfare".to_owned(),
            timeout: Duration::from_secs(5),
            connections: 8,
            writers: 4,
            batch_events_max: 512,
            queue_bytes_max: ByteSize::mib(64),
            event_bytes_max: ByteSize::mib(16),
            bell_interval: Duration::from_millis(5),
            poll_active: Duration::from_millis(100),
            poll_idle: Duration::from_secs(1),
            days_ahead: 2,
            dead_for: Duration::from_secs(24 * 3600),
            shards: 16,
        }
    }
}

impl Options {
    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("connections", u64::from(self.connections)),
            ("writers", u64::from(self.writers)),
            ("batch_events_max", self.batch_events_max as u64),
            ("queue_bytes_max", self.queue_bytes_max.0),
            ("event_bytes_max", self.event_bytes_max.0),
            ("shards", u64::from(self.shards)),
        ] {
            if value == 0 {
                return Err(format!("{key} is 0, so that nothing could pass; set it to at least 1"));
            }
        }
        for (key, value) in [
            ("timeout", self.timeout),
            ("bell_interval", self.bell_interval),
            ("poll_active", self.poll_active),
            ("poll_idle", self.poll_idle),
        ] {
            if value.get().is_zero() {
                return Err(format!("{key} is 0s; set it to e.g. \"1s\""));
            }
        }
        if self.event_bytes_max.0 > ByteSize::mib(256).0 {
            return Err(
                "event_bytes_max is above 256MiB, more than a row can hold; set it to at most \"256MiB\"".to_owned()
            );
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.schema.is_empty() || self.schema.len() > 48 || !self.schema.chars().all(plain) {
            return Err(
                "schema is not 1 to 48 of lower-case letters, digits and `_`; name it e.g. \"fanfare\"".to_owned()
            );
        }
        if self.schema.starts_with("pg_") {
            return Err(
                "schema begins with `pg_`, which the server keeps for itself; name it e.g. \"fanfare\"".to_owned()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_mistakes_name_their_key() {
        Options::default().validate().unwrap();
        for (json, key) in [
            (r#"{"writers":0}"#, "writers"),
            (r#"{"timeout":"0s"}"#, "timeout"),
            (r#"{"schema":"A;b"}"#, "schema"),
            (r#"{"schema":"pg_mine"}"#, "schema"),
            (r#"{"event_bytes_max":"1GiB"}"#, "event_bytes_max"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            assert!(options.validate().unwrap_err().starts_with(key), "{json}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let options: Options = serde_json::from_str(r#"{"url":"postgres://u:hush@h/d"}"#).unwrap();
        assert!(!format!("{options:?}").contains("hush"));
        assert!(!serde_json::to_string(&options).unwrap().contains("hush"));
    }
}
