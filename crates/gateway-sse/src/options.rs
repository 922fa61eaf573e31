//! Limits and times of this gateway.

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `sse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The most topics of one stream. Every `id:` of a stream of several topics holds a position for each (about 20
    /// bytes), and all are opened before the first byte is sent.
    pub topics_max: usize,
    /// How long a client waits before it comes back after an end (SSE `retry:`); each is told 50 to 150 % of it
    /// when it is sent away, so that they do not come back together. 3 s is what Chromium does by itself.
    pub retry: Duration,
    /// The most bytes of events that are put together into one write; a larger event is written alone. 16 KiB is
    /// one TLS record, and what a reader that stops reading can hold of this gateway's memory.
    pub write_batch: ByteSize,
    /// A client that has taken nothing for this long while something waited is cut off; it can come back and
    /// resume. Long enough for a phone that changes networks, short enough that frozen ones do not pile up.
    pub stall_timeout: Duration,
    /// How long a long poll (`?poll=1`) waits for an event before it answers with none. Below the 30 s after which
    /// the shortest common proxies give up.
    pub poll_timeout: Duration,
    /// The most events in the answer to a long poll; the client asks again for the rest at once.
    pub poll_events_max: usize,
    /// An answer to a long poll ends with the event that brings its data to this size: it is made in memory.
    pub poll_bytes: ByteSize,
    /// The web origins that may read the streams (CORS), exactly as browsers write them, e.g.
    /// `"https://app.example.com"`. `"*"` lets any page read them, though never with credentials. Default: none,
    /// because the page that may is known only to you; pages of the gateway's own origin need no entry.
    pub allowed_origins: Vec<String>,
    /// Whether a token may stand in the URL (`?token=`), for a native `EventSource`, which can send no headers.
    /// Off by default: URLs end up in the logs of proxies, in browser histories and in `Referer` headers, and
    /// whoever reads them there has the token. If you must, let tokens live for a minute.
    pub token_in_query: bool,
    /// The largest body of a `POST`: 100 topics of 255 bytes with a position each, twice over.
    pub body_bytes_max: ByteSize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The shortest time after which a client that found no room is asked to come back. Each is told its own,
    /// between this and `overload_retry_max`, so that a full node is not met by all of them at once.
    pub overload_retry_min: Duration,
    /// The longest such time.
    pub overload_retry_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            topics_max: 100,
            retry: Duration::from_secs(3),
            write_batch: ByteSize::kib(16),
            stall_timeout: Duration::from_secs(15),
            poll_timeout: Duration::from_secs(25),
            poll_events_max: 256,
            poll_bytes: ByteSize::kib(256),
            allowed_origins: Vec::new(),
            token_in_query: false,
            body_bytes_max: ByteSize::kib(64),
            body_timeout: Duration::from_secs(10),
            overload_retry_min: Duration::from_secs(5),
            overload_retry_max: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// Whether these can work together. The error names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        let least = |key: &str, value: Duration, least: Duration| {
            if value < least {
                return Err(format!("sse.{key} is {value}; write at least \"{least}\""));
            }
            Ok(())
        };
        for (key, value) in [("topics_max", self.topics_max), ("poll_events_max", self.poll_events_max)] {
            if value == 0 {
                return Err(format!("sse.{key} is 0; write at least 1"));
            }
        }
        for (key, value) in [
            ("write_batch", self.write_batch),
            ("poll_bytes", self.poll_bytes),
            ("body_bytes_max", self.body_bytes_max),
        ] {
            if value < ByteSize::kib(1) {
                return Err(format!("sse.{key} is {value}; write at least \"1KiB\""));
            }
        }
        least("retry", self.retry, Duration::from_millis(100))?;
        least("stall_timeout", self.stall_timeout, Duration::from_secs(1))?;
        least("poll_timeout", self.poll_timeout, Duration::from_millis(100))?;
        least("body_timeout", self.body_timeout, Duration::from_secs(1))?;
        least("overload_retry_min", self.overload_retry_min, Duration::from_millis(100))?;
        if self.overload_retry_max < self.overload_retry_min {
            return Err(format!(
                "sse.overload_retry_max is {}, which is less than sse.overload_retry_min ({}); exchange them",
                self.overload_retry_max, self.overload_retry_min
            ));
        }
        self.allowed_origins.iter().try_for_each(|origin| check_origin(origin))
    }
}

fn check_origin(origin: &str) -> Result<(), String> {
    let problem = |what: &str| {
        Err(format!(
            "sse.allowed_origins holds {origin:?}, which {what}; write it like \"https://app.example.com\" or \
             \"http://localhost:3000\", or \"*\" for every origin"
        ))
    };
    if origin == "*" {
        return Ok(());
    }
    let Some((scheme, host)) = origin.split_once("://") else { return problem("has no scheme") };
    if scheme.is_empty() || host.is_empty() {
        return problem("is not an origin");
    }
    if host.contains(['/', '?', '#']) {
        return problem("has a path");
    }
    if host.contains('*') {
        return problem("has a `*` in it");
    }
    if !origin.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()) {
        return problem("is not visible ASCII in lower case");
    }
    Ok(())
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
        let check = |json: &str, part: &str| {
            let options: Options = serde_json::from_str(json).unwrap();
            let error = options.validate().unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        };
        check(r#"{"topics_max":0}"#, "sse.topics_max is 0");
        check(r#"{"write_batch":"10B"}"#, "sse.write_batch is 10B");
        check(r#"{"stall_timeout":"0s"}"#, "sse.stall_timeout is 0s");
        check(r#"{"overload_retry_max":"1s"}"#, "sse.overload_retry_max is 1s, which is less");
        check(r#"{"allowed_origins":["app.example.com"]}"#, "has no scheme");
        check(r#"{"allowed_origins":["https://a/"]}"#, "has a path");
        check(r#"{"allowed_origins":["https://*.a"]}"#, "has a `*`");
        check(r#"{"allowed_origins":["https://A"]}"#, "lower case");
    }
}
