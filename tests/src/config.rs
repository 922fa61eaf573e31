//! The configuration file of a server under test.

use std::collections::BTreeMap;
use std::path::Path;

use crate::token;

/// A configuration: what every test wants, plus what one test says.
///
/// Sections are kept apart so that a test adds keys to a section that is already there.
#[derive(Debug, Clone)]
pub struct Config {
    sections: BTreeMap<String, Vec<String>>,
    engine: Engine,
    roles: Option<Vec<String>>,
    serves_engine: bool,
    dev: bool,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
enum Engine {
    Embedded,
    EmbeddedIn(String),
    Memory,
    Outside(String),
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The embedded engine in the test's own directory, one issuer, clients may publish.
    pub fn new() -> Self {
        let mut config = Self {
            sections: BTreeMap::new(),
            engine: Engine::Embedded,
            roles: None,
            serves_engine: false,
            dev: true,
            arguments: Vec::new(),
            variables: Vec::new(),
        };
        config = config
            .set("topics.\"*\"", "history = { max_events = 100000, max_age = \"24h\" }")
            .set("topics.\"*\"", "durability = \"buffered\"")
            .set("topics.\"*\"", "client_publish = true")
            .set(
                &format!("auth.issuers.{}", token::ISSUER),
                &format!(
                    "keys = [{{ secret = \"{}\" }}]\nalgorithms = [\"HS256\"]\nmax_lifetime = \"24h\"",
                    token::SECRET
                ),
            );
        config
    }

    /// Adds `line` to `[section]`; a line that sets a key which is there already replaces it.
    #[must_use]
    pub fn set(mut self, section: &str, line: &str) -> Self {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        let lines = self.sections.entry(section.to_owned()).or_default();
        lines.retain(|old| key(old) != key(line));
        lines.push(line.to_owned());
        self
    }

    /// Adds or replaces a key of the policy of every topic.
    #[must_use]
    pub fn topics(self, line: &str) -> Self {
        self.set("topics.\"*\"", line)
    }

    /// Adds or replaces a key of the policy of one kind. What it does not say comes from `*`.
    #[must_use]
    pub fn kind(self, kind: &str, line: &str) -> Self {
        self.set(&format!("topics.{kind}"), line)
    }

    /// Adds or replaces a key of the SSE gateway's section.
    #[must_use]
    pub fn sse(self, line: &str) -> Self {
        self.set("sse", line)
    }

    /// Adds or replaces a key of the WebSocket gateway's section.
    #[must_use]
    pub fn ws(self, line: &str) -> Self {
        self.set("ws", line)
    }

    /// Adds or replaces a key of the section for client sessions of every protocol.
    #[must_use]
    pub fn session(self, line: &str) -> Self {
        self.set("session", line)
    }

    /// Sends clients away over so many seconds when the process stops, and cuts none off that is slow to go.
    #[must_use]
    pub fn drain_over(self, seconds: u64) -> Self {
        self.set("drain", &format!("window = \"{seconds}s\"")).set("drain", "grace = \"30s\"")
    }

    /// Never pings clients, so that one that does not read is not taken for gone.
    #[must_use]
    pub fn without_pings(self) -> Self {
        self.session("ping_interval = \"0s\"")
    }

    /// Ends no session whose client does not read, however long that takes: neither the node does, nor the kernel.
    #[must_use]
    pub fn lets_readers_stop(self) -> Self {
        let stall = "stall_timeout = \"1h\"";
        let node = self.without_pings().sse(stall).ws(stall).set("grpc", stall);
        node.set("http", "tcp_user_timeout = \"1h\"").set("http", "h2_ping_timeout = \"1h\"")
    }

    /// Lets in clients without a token, for those that cannot show one (a browser's `EventSource`).
    #[must_use]
    pub fn anonymous(self, topics: &[&str], allow: &[&str]) -> Self {
        self.set("auth.anonymous", &format!("grants = [{{ topics = {topics:?}, allow = {allow:?} }}]"))
    }

    /// Keeps nothing after the process.
    #[must_use]
    pub fn memory(mut self) -> Self {
        self.engine = Engine::Memory;
        self.topics("durability = \"none\"")
    }

    /// Keeps everything in another system, which nodes share: `section` is what `[engine.<kind>]` says of it. What nodes
    /// must have in common is set as well.
    #[must_use]
    pub fn shared(mut self, kind: &str, section: &[&str]) -> Self {
        self.engine = Engine::Outside(kind.to_owned());
        self.dev = false;
        let section_name = format!("engine.{kind}");
        section.iter().fold(self.resume_key(), |config, line| config.set(&section_name, line))
    }

    /// The key that seals resume tokens and tickets, which nodes must have in common.
    #[must_use]
    pub fn resume_key(self) -> Self {
        self.set("auth.resume", "keys = [\"0123456789abcdef0123456789abcdef\"]")
    }

    /// Runs these roles only.
    #[must_use]
    pub fn roles(mut self, roles: &[&str]) -> Self {
        self.roles = Some(roles.iter().map(|&role| role.to_owned()).collect());
        self
    }

    /// Lends its engine to other nodes, over the listener of the admin.
    #[must_use]
    pub fn lends_engine(mut self, secret: &str) -> Self {
        self.serves_engine = true;
        self.set("engine.remote", &format!("secret = \"{secret}\""))
    }

    /// Keeps the log in `path` and not in the test's own directory.
    #[must_use]
    pub fn data_in(mut self, path: &Path) -> Self {
        self.engine = Engine::EmbeddedIn(path.display().to_string());
        self
    }

    /// Runs without `--dev`.
    #[must_use]
    pub fn production(mut self) -> Self {
        self.dev = false;
        self
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of the process's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn is_dev(&self) -> bool {
        self.dev
    }

    /// The text of the file, for a server whose own directory is `dir`.
    pub(crate) fn text(&self, dir: &Path, public: &str, admin: &str) -> String {
        use std::fmt::Write as _;

        let engine = if self.serves_engine { ", \"engine\"" } else { "" };
        let demo = if self.dev { ", \"demo\"" } else { "" };
        let roles = self.roles.as_ref().map_or_else(String::new, |roles| format!("roles = {roles:?}\n"));
        let mut text = format!(
            "{roles}[[listeners]]\nname = \"public\"\nbind = \"{public}\"\nserves = [\"sse\", \"ws\", \"grpc\"{demo}]\n\n\
             [[listeners]]\nname = \"admin\"\nbind = \"{admin}\"\nserves = [\"api\", \"grpc\", \"metrics\", \"health\"{engine}]\n\n[engine]\n"
        );
        let written = match &self.engine {
            Engine::Embedded => {
                writeln!(text, "kind = \"embedded\"\npath = \"{}\"", dir.join("data").display())
            }
            Engine::EmbeddedIn(path) => writeln!(text, "kind = \"embedded\"\npath = \"{path}\""),
            Engine::Memory => writeln!(text, "kind = \"memory\""),
            Engine::Outside(kind) => writeln!(text, "kind = \"{kind}\"\npath = \"{}\"", dir.join("data").display()),
        };
        written.expect("a String takes everything");
        for (section, lines) in &self.sections {
            write!(text, "\n[{section}]\n{}\n", lines.join("\n")).expect("a String takes everything");
        }
        text
    }
}
