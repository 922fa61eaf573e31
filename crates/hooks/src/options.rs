//! The section `hooks` of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fanfare_auth::Secret;
use fanfare_model::{ByteSize, Duration};
use fanfare_session::Hook;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::signature;

/// What the application is asked about, and where. Default: nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Asked when somebody with good credentials comes in. May name topics to subscribe them to. Default: not asked.
    pub connect: Option<HookOptions>,
    /// Asked when a session that may by its grants wants to receive a topic. Default: not asked.
    pub subscribe: Option<HookOptions>,
    /// Asked when a client that may by its grants wants to publish. May change the event. Servers are not asked about.
    /// Default: not asked.
    pub publish: Option<HookOptions>,
    /// Asked when a session wants to go on with new credentials. Default: not asked.
    pub refresh: Option<HookOptions>,
    /// What questions are signed with, in the manner of Standard Webhooks: `whsec_` and base64 of 24 to 64 random
    /// bytes. Several while they are being changed: each signs, and the application needs to know one. Default: none;
    /// questions are not signed.
    pub secrets: Vec<Secret>,
    /// A file with such secrets, one a line. Default: none.
    pub secrets_file: Option<PathBuf>,
    /// The certificates of authorities (PEM) that may vouch for the application, for `https` and `grpcs`. Default:
    /// those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The most questions of one hook at a time; more wait, within their time. Default 256: at 5 ms an answer that
    /// is 50,000 a second.
    pub concurrency_max: usize,
    /// The most bytes of an answer. Default 256KiB: room for an event in place of the client's, and 256 of them at a
    /// time are 64 MB.
    pub answer_bytes_max: ByteSize,
    /// When a hook is left out.
    pub breaker: BreakerOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: None,
            subscribe: None,
            publish: None,
            refresh: None,
            secrets: Vec::new(),
            secrets_file: None,
            ca_file: None,
            concurrency_max: 256,
            answer_bytes_max: ByteSize::kib(256),
            breaker: BreakerOptions::default(),
        }
    }
}

/// When a hook that fails is not asked for a while, so that clients do not wait for nothing and the application can
/// recover. Each hook has a breaker of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerOptions {
    /// After how many questions in a row without an answer. Default 10: not a single mishap, and no second at any
    /// load. 0: never.
    pub failures: u32,
    /// For how long. Then one question tries whether it answers again. Default 5s: short enough that nobody need wait
    /// for it, long enough for a process to start.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 10, pause: Duration::from_secs(5) }
    }
}

/// One hook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HookOptions {
    /// Where to ask: `http://` or `https://` for a POST with JSON, `grpc://` or `grpcs://` with host and port for the
    /// service `fanfare.v1.Hooks`. Required.
    pub url: String,
    /// How long the verdict may take, with connecting and waiting for a place. Default 1s: a client waits for it.
    pub timeout: Duration,
    /// What is done without an answer. Default `deny`: what could not be asked is not allowed.
    pub on_error: OnError,
    /// Only for topics of these kinds; for `subscribe` and `publish`. Default: all.
    pub kinds: Vec<String>,
    /// Headers (over gRPC: metadata) of each question, e.g. `authorization`. Default: none.
    pub headers: BTreeMap<String, Secret>,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            timeout: Duration::from_secs(1),
            on_error: OnError::default(),
            kinds: Vec::new(),
            headers: BTreeMap::new(),
        }
    }
}

/// What is done without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is not done; the client may try again.
    #[default]
    Deny,
    /// It is done, as if there were no hook.
    Allow,
}

impl Options {
    /// The options of a hook, if it is asked.
    pub fn of(&self, hook: Hook) -> Option<&HookOptions> {
        match hook {
            Hook::Connect => self.connect.as_ref(),
            Hook::Subscribe => self.subscribe.as_ref(),
            Hook::Publish => self.publish.as_ref(),
            Hook::Refresh => self.refresh.as_ref(),
        }
    }

    /// Whether nothing is asked at all.
    pub fn is_empty(&self) -> bool {
        Hook::ALL.iter().all(|hook| self.of(*hook).is_none())
    }

    /// Whether the values can be used; files are not looked at. The text names the key and what to do.
    pub fn validate(&self) -> Result<(), String> {
        for hook in Hook::ALL {
            if let Some(options) = self.of(hook) {
                options.validate(hook).map_err(|problem| format!("`hooks.{}.{problem}", hook.as_str()))?;
            }
        }
        for (at, secret) in self.secrets.iter().enumerate() {
            signature::key(secret.reveal()).map_err(|problem| format!("`hooks.secrets[{at}]` {problem}"))?;
        }
        if self.concurrency_max == 0 {
            return Err("`hooks.concurrency_max` is 0, so that nothing could be asked; write at least 1".to_owned());
        }
        if self.answer_bytes_max.0 < 1024 {
            return Err("`hooks.answer_bytes_max` is too little for an answer; write at least \"1KiB\"".to_owned());
        }
        if self.breaker.failures > 0 && self.breaker.pause.get().is_zero() {
            return Err("`hooks.breaker.pause` is 0; write a time like \"5s\", or set `failures = 0` to turn the \
                        breaker off"
                .to_owned());
        }
        Ok(())
    }
}

/// Headers that are the server's own.
const RESERVED_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

impl HookOptions {
    /// `Err` continues "hooks.<hook>.".
    fn validate(&self, hook: Hook) -> Result<(), String> {
        self.address()?;
        self.header_map()?;
        if self.timeout.get().is_zero() {
            return Err("timeout` is 0, so that no answer could come; write a time like \"1s\"".to_owned());
        }
        if !self.kinds.is_empty() && matches!(hook, Hook::Connect | Hook::Refresh) {
            return Err("kinds` has no effect, because this is not about a topic; remove it".to_owned());
        }
        Ok(())
    }

    /// `url`, checked.
    pub(crate) fn address(&self) -> Result<Url, String> {
        let problem = |problem: &str| format!("url` {problem}");
        if self.url.is_empty() {
            return Err(problem("is missing; write where to ask, like \"http://127.0.0.1:9000/fanfare\""));
        }
        let url = Url::parse(&self.url).map_err(|error| problem(&format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https" | "grpc" | "grpcs") {
            return Err(problem("begins with none of `http://`, `https://`, `grpc://` and `grpcs://`"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(problem("has no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("has a user or password, which would be logged; write them in `headers`"));
        }
        if url.fragment().is_some() {
            return Err(problem("has a fragment (`#…`), which is never sent; remove it"));
        }
        let is_grpc = url.scheme().starts_with("grpc");
        if is_grpc && (!matches!(url.path(), "" | "/") || url.query().is_some()) {
            return Err(problem("has a path; over gRPC the service has its own, so write only host and port"));
        }
        if is_grpc && url.port().is_none() {
            return Err(problem("has no port, and gRPC has no default for it"));
        }
        Ok(url)
    }

    /// `headers`, checked.
    pub(crate) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let problem = |problem: &str| format!("headers` has {name:?}, which {problem}");
            let header: HeaderName = name.parse().map_err(|_| problem("is not a header's name"))?;
            if RESERVED_HEADERS.contains(&header.as_str())
                || header.as_str().starts_with("webhook-")
                || header.as_str().ends_with("-bin")
            {
                return Err(problem("is the server's own; remove it"));
            }
            let mut value: HeaderValue =
                value.reveal().parse().map_err(|_| problem("has a value with characters that no header may have"))?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, String> {
        let options: Options = toml::from_str(text).map_err(|error| error.to_string())?;
        options.validate().map(|()| options)
    }

    #[test]
    fn defaults_ask_nothing_and_deny_without_an_answer() {
        let options = read("").unwrap();
        assert!(options.is_empty());
        let options = read("[connect]\nurl = \"http://127.0.0.1:1/x\"").unwrap();
        assert!(!options.is_empty());
        let hook = options.of(Hook::Connect).unwrap();
        assert_eq!((hook.on_error, hook.timeout.get().as_secs()), (OnError::Deny, 1));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let hook = |rest: &str| format!("[publish]\nurl = \"http://h/x\"\n{rest}");
        for (text, part) in [
            ("[connect]".to_owned(), "`hooks.connect.url` is missing"),
            ("[connect]\nurl = \"ftp://x\"".to_owned(), "`hooks.connect.url` begins with none"),
            ("[connect]\nurl = \"http://u:p@x/\"".to_owned(), "has a user"),
            ("[connect]\nurl = \"http://x/#a\"".to_owned(), "fragment"),
            ("[connect]\nurl = \"grpc://x:1/path\"".to_owned(), "has a path"),
            ("[connect]\nurl = \"grpc://x\"".to_owned(), "has no port"),
            ("[connect]\nurl = \"http://x\"\nkinds = [\"a\"]".to_owned(), "`hooks.connect.kinds` has no effect"),
            (hook("timeout = \"0s\""), "`hooks.publish.timeout` is 0"),
            (hook("on_error = \"maybe\""), "maybe"),
            (hook("headers = { \"webhook-id\" = \"x\" }"), "server's own"),
            (hook("headers = { \"Content-Type\" = \"x\" }"), "server's own"),
            (hook("headers = { \"a b\" = \"x\" }"), "not a header's name"),
            (hook("headers = { a = \"x\\ny\" }"), "no header may have"),
            ("secrets = [\"short\"]".to_owned(), "`hooks.secrets[0]`"),
            ("concurrency_max = 0".to_owned(), "`hooks.concurrency_max`"),
            ("answer_bytes_max = \"1\"".to_owned(), "answer_bytes_max"),
            ("breaker = { pause = \"0s\" }".to_owned(), "`hooks.breaker.pause`"),
            ("conect = 1".to_owned(), "conect"),
        ] {
            let refused = read(&text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn secrets_and_headers_are_not_shown() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let options = read(&format!(
            "secrets = [\"{secret}\"]\n[connect]\nurl = \"http://x/\"\nheaders = {{ authorization = \"Bearer hush\" }}"
        ))
        .unwrap();
        for shown in [format!("{options:?}"), serde_json::to_string(&options).unwrap()] {
            assert!(!shown.contains("whsec_") && !shown.contains("hush"), "{shown}");
        }
    }
}
