//! Our own server: started on free ports of the loopback with the configuration that a scenario needs, or aimed at
//! where it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::Target;
use super::adapter::Adapter;
use super::process::Process;
use super::token::Tokens;

/// What a scenario wants of the server's configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// `memory` or `embedded`.
    pub(crate) engine: &'static str,
    /// Lines of `[topics."*"]`.
    pub(crate) topics: &'static str,
    /// Further tables.
    pub(crate) tables: &'static str,
}

impl Setting {
    /// Events pass through memory and nothing waits for a disk.
    pub(crate) const LIVE: Self = Self { engine: "memory", topics: "durability = \"none\"", tables: "" };
    /// Events are on the disk of the process when they are acknowledged.
    pub(crate) const LOG: Self =
        Self { engine: "embedded", topics: "durability = \"buffered\"\nhistory = { max_events = 0 }", tables: "" };
}

/// How to start it again.
pub(crate) struct Started {
    binary: PathBuf,
    core: Option<usize>,
    workers: usize,
    secret: String,
    setting: Setting,
}

/// Where a running one is, as the command line says.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Running {
    /// Aims at a server that runs already: `host:port` of its client door (several nodes: separated by commas).
    /// Plain HTTP only.
    #[arg(long, global = true, requires = "admin_url", help_heading = "A server that runs already")]
    url: Option<String>,
    /// `host:port` of its API for servers.
    #[arg(long, global = true, help_heading = "A server that runs already")]
    admin_url: Option<String>,
    /// Token or API key of the readers; not needed with `--secret`.
    #[arg(long, global = true, default_value = "", help_heading = "A server that runs already")]
    token: String,
    /// Token or API key of the publisher; not needed with `--secret`.
    #[arg(long, global = true, default_value = "", help_heading = "A server that runs already")]
    admin_token: String,
    /// Secret of an HS256 issuer: then each reader can be a user of its own.
    #[arg(long, global = true, help_heading = "A server that runs already")]
    secret: Option<String>,
    /// Name of that issuer.
    #[arg(long, global = true, default_value = "load", help_heading = "A server that runs already")]
    issuer: String,
    /// Processes whose memory and processor time are sampled.
    #[arg(long, global = true, value_delimiter = ',', help_heading = "A server that runs already")]
    pid: Vec<u32>,
}

impl Running {
    pub(crate) fn is_given(&self) -> bool {
        self.url.is_some()
    }

    /// The server that it names.
    pub(crate) fn open(&self) -> anyhow::Result<Target> {
        let bare = |url: &Option<String>| -> anyhow::Result<String> {
            let url = url.as_deref().context("--url and --admin-url go together")?;
            ensure!(!url.starts_with("https:"), "{url}: the generator speaks plain HTTP; aim behind the TLS proxy");
            Ok(url.trim_start_matches("http://").trim_end_matches('/').to_owned())
        };
        let constants = constants(&bare(&self.url)?, &bare(&self.admin_url)?, self.secret.as_deref(), &self.issuer);
        let mut target = Target::reach(Adapter::fanfare()?, constants, tempfile::tempdir()?)?;
        if self.secret.is_none() {
            target.tokens = Arc::new(Tokens::Same(self.token.clone()));
            target.publish_tokens = Tokens::Same(self.admin_token.clone());
        }
        target.watched.clone_from(&self.pid);
        Ok(target)
    }
}

fn constants(public: &str, admin: &str, secret: Option<&str>, issuer: &str) -> BTreeMap<String, String> {
    [("public", public), ("admin", admin), ("secret", secret.unwrap_or_default()), ("issuer", issuer)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Starts `binary`, pinned to `core` with one worker, or else with a worker for each core.
pub(crate) fn start(binary: &Path, core: Option<usize>, setting: Setting) -> anyhow::Result<Target> {
    ensure!(binary.exists(), "{} is not there; build it with `cargo build --release`", binary.display());
    let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let started = Started {
        binary: binary.to_owned(),
        core,
        workers: usize::from(core.is_some()),
        secret: secret.clone(),
        setting,
    };
    let dir = tempfile::tempdir()?;
    let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
    let mut process = started.again(dir.path(), &any, &any)?;
    let (public, admin) = wait_for_ports(&mut process, dir.path())?;
    let constants = constants(&public, &admin, Some(&secret), "load");
    let mut target = Target::reach(Adapter::fanfare()?, constants, dir)?;
    target.processes.push(process);
    target.fanfare = Some(started);
    target.wait_until_ready()?;
    Ok(target)
}

impl Started {
    /// Starts it in `dir` at these addresses.
    pub(super) fn again(&self, dir: &Path, public: &[SocketAddr], admin: &[SocketAddr]) -> anyhow::Result<Process> {
        let config = dir.join("fanfare.toml");
        let ports = dir.join("ports.json");
        let _ = std::fs::remove_file(&ports);
        std::fs::write(&config, self.configuration(dir, public[0], admin[0]))?;
        let line = [
            self.binary.display().to_string(),
            "serve".to_owned(),
            "--config".to_owned(),
            config.display().to_string(),
            "--ports-file".to_owned(),
            ports.display().to_string(),
        ];
        Process::start(&line, self.core, dir)
    }

    fn configuration(&self, dir: &Path, public: SocketAddr, admin: SocketAddr) -> String {
        let Setting { engine, topics, tables } = self.setting;
        format!(
            r#"workers = {workers}
[[listeners]]
name = "public"
bind = "{public}"
serves = ["sse", "ws", "grpc"]
[[listeners]]
name = "admin"
bind = "{admin}"
serves = ["api", "health", "metrics"]
[engine]
kind = "{engine}"
path = '{data}'
[limits.user]
publishes_per_second = 0
[session]
sessions_max = 1000000
sessions_per_user_max = 1000000
[drain]
window = "1s"
grace = "1s"
[auth.issuers.load]
algorithms = ["HS256"]
keys = [{{ secret = "{secret}" }}]
[topics."*"]
client_publish = true
{topics}
{tables}
"#,
            workers = self.workers,
            data = dir.join("data").display(),
            secret = self.secret,
        )
    }
}

fn wait_for_ports(process: &mut Process, dir: &Path) -> anyhow::Result<(String, String)> {
    let path = dir.join("ports.json");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // Written in one step, so that it is whole once it is there.
        if let Ok(text) = std::fs::read(&path) {
            let ports: serde_json::Value = serde_json::from_slice(&text)?;
            let port = |name: &str| ports["listeners"][name].as_str().map(str::to_owned).context("no such listener");
            return Ok((port("public")?, port("admin")?));
        }
        if let Err(ended) = process.expect_alive() {
            bail!("{ended}{}", super::process::last_words(dir));
        }
        ensure!(Instant::now() < deadline, "the server was not ready within 60 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}
