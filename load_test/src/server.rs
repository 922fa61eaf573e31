//! A server under measurement: started on free ports of the loopback, ended by its process id.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

const SECRET: &str = "a secret of the load test, at least 32 bytes long";

/// A running server.
pub(crate) struct Server {
    child: Child,
    _directory: tempfile::TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) token: String,
    pub(crate) admin_token: String,
}

impl Server {
    /// Starts `binary` pinned to core 0 with one worker. `topics` is the section `[topics."*"]`.
    pub(crate) fn start(binary: &Path, engine: &str, topics: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let ports = directory.path().join("ports.json");
        let config = directory.path().join("fanfare.toml");
        let data = directory.path().join("data");
        std::fs::write(
            &config,
            format!(
                r#"
workers = 1
[[listeners]]
name = "public"
bind = "127.0.0.1:0"
serves = ["sse", "ws"]
[[listeners]]
name = "admin"
bind = "127.0.0.1:0"
serves = ["api", "health", "metrics"]
[engine]
kind = "{engine}"
path = '{}'
[session]
sessions_per_user_max = 1000000
[auth.issuers.load]
algorithms = ["HS256"]
keys = [{{ secret = "{SECRET}" }}]
[topics."*"]
{topics}
"#,
                data.display()
            ),
        )?;
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(binary)
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--ports-file")
            .arg(&ports)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("{} could not be started; build it with `cargo build --release`", binary.display())
            })?;
        let mut server = Self {
            child,
            _directory: directory,
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: token("fanfare")?,
            admin_token: token("fanfare-server")?,
        };
        let began = Instant::now();
        while !ports.exists() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            if began.elapsed() > Duration::from_secs(30) {
                bail!("the server was not ready within 30 s");
            }
            std::thread::yield_now();
        }
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&ports)?)?;
        let port = |name: &str| -> anyhow::Result<SocketAddr> {
            Ok(ports["listeners"][name].as_str().context("no such listener")?.parse()?)
        };
        (server.public, server.admin) = (port("public")?, port("admin")?);
        Ok(server)
    }
}

impl Server {
    /// Resident memory of the server process, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(kib.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(audience: &str) -> anyhow::Result<String> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
    let allow = ["subscribe", "publish", "history", "admin"];
    let claims = serde_json::json!({
        "iss": "load", "aud": audience, "sub": "load", "iat": now, "exp": now + 3600,
        "fanfare": { "grants": [{ "topics": ["*"], "allow": allow }] },
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
}
