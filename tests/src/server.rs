//! The real binary, started, killed and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Api, Config, LogCapture, PATIENCE, ProcessStats, eventually};

const ANY_PORT: &str = "127.0.0.1:0";

/// A running `fanfare serve`. Dropping it kills the process and, if the test is failing, shows its log.
pub struct Server {
    dir: TempDir,
    config: Config,
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    log: LogCapture,
}

impl Server {
    /// Starts the binary and waits until it is ready; panics with its log if it is not.
    pub async fn start(config: Config) -> Self {
        let dir = TempDir::with_prefix("fanfare-it-").expect("a temporary directory can be made");
        let log = LogCapture::default();
        let child = spawn(&config, dir.path(), ANY_PORT, ANY_PORT, &log);
        let any = ANY_PORT.parse().expect("a literal address");
        let mut server = Self { dir, config, child, public: any, admin: any, log };
        if let Err(status) = server.await_ready().await {
            server.log.show("fanfare");
            panic!("fanfare ended with {status} before it was ready");
        }
        server
    }

    /// Starts a server that is expected to refuse: its exit status and everything it printed.
    pub async fn refused(config: Config) -> (ExitStatus, String) {
        let dir = TempDir::with_prefix("fanfare-it-").expect("a temporary directory can be made");
        let log = LogCapture::default();
        let mut child = spawn(&config, dir.path(), ANY_PORT, ANY_PORT, &log);
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            // What it said last is in the pipe for a moment longer.
            if let Some(status) = child.try_wait().expect("our own child").filter(|_| log.is_whole()) {
                return (status, log.text());
            }
            if tokio::time::Instant::now() > until {
                child.kill().expect("our own child");
                panic!("fanfare was expected to refuse to start and did not; it printed:\n{}", log.text());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where SSE and WebSocket clients connect.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the HTTP API, metrics and health are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A client of the HTTP API that may do everything.
    pub fn api(&self) -> Api {
        Api::new(self.admin)
    }

    /// What it printed, over all its lives.
    pub fn log(&self) -> &LogCapture {
        &self.log
    }

    /// Its directory; the embedded engine's data is in `data` below it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What Linux says of the process now.
    pub fn stats(&self) -> ProcessStats {
        ProcessStats::of(self.child.id())
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        kill_process(pid, signal).expect("our own child");
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let child = &mut self.child;
        eventually("the server to end", patience, || {
            let status = child.try_wait().expect("our own child");
            std::future::ready(status)
        })
        .await
    }

    /// Starts it again after [`Server::kill`] or [`Server::ended`], with the same data and on the same ports.
    pub async fn restart(&mut self) {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (public, admin) = (self.public.to_string(), self.admin.to_string());
            self.child = spawn(&self.config, self.dir.path(), &public, &admin, &self.log);
            match self.await_ready().await {
                Ok(()) => return,
                // Between two lives the kernel may lend the port to somebody's outgoing connection for a moment.
                Err(_) if self.log.contains("in use") && tokio::time::Instant::now() < until => {}
                Err(status) => panic!("fanfare ended with {status} when it was started again"),
            }
        }
    }

    /// As [`Server::restart`], with another configuration.
    pub async fn restart_with(&mut self, config: Config) {
        self.config = config;
        self.restart().await;
    }

    async fn await_ready(&mut self) -> Result<(), ExitStatus> {
        let path = ports_file(self.dir.path());
        let child = &mut self.child;
        let ports = eventually("fanfare to write its ports file", PATIENCE, || {
            let ports = std::fs::read(&path).ok().map(Ok);
            let ended = || child.try_wait().expect("our own child").map(Err);
            std::future::ready(ports.or_else(ended))
        })
        .await?;
        let ports: Value = serde_json::from_slice(&ports).expect("the ports file is JSON");
        let address = |name: &str| -> SocketAddr {
            ports["listeners"][name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("the ports file names the listener {name}: {ports}"))
        };
        (self.public, self.admin) = (address("public"), address("admin"));
        assert_eq!(ports["pid"].as_u64(), Some(u64::from(self.child.id())), "the ports file is of this process");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only if the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.show("fanfare");
        }
    }
}

fn ports_file(dir: &Path) -> PathBuf {
    dir.join("ports.json")
}

fn spawn(config: &Config, dir: &Path, public: &str, admin: &str, log: &LogCapture) -> Child {
    let file = dir.join("fanfare.toml");
    std::fs::write(&file, config.text(dir, public, admin)).expect("the test's own directory is writable");
    let ports = ports_file(dir);
    if ports.exists() {
        std::fs::remove_file(&ports).expect("the test's own file");
    }
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(&file).arg("--ports-file").arg(&ports).args(&config.arguments);
    if config.is_dev() {
        command.arg("--dev");
    }
    // Nothing of the developer's own environment may change what is tested.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FANFARE_")) {
        command.env_remove(name);
    }
    let variables = config.variables.iter().map(|(name, value)| (name, value));
    let mut child = command
        .envs(variables)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    log.follow(child.stdout.take().expect("stdout is piped"));
    log.follow(child.stderr.take().expect("stderr is piped"));
    child
}

/// The binary that cargo built beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.ancestors().nth(2).expect("a test runs from target/<profile>/deps");
    let binary = profile.join("fanfare");
    assert!(binary.is_file(), "there is no {}: run `cargo build -p fanfare` first (dev/test does)", binary.display());
    binary
}

/// A topic of `kind` that no other test uses.
pub fn fresh_topic(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{kind}:{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The seed of a random test: from the variable `FANFARE_SEED`, else a fresh one. Printed, so that a failure
/// shows how to repeat it.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("FANFARE_SEED").ok().map_or_else(rand::random, |text| {
        text.parse().unwrap_or_else(|_| panic!("FANFARE_SEED is a number, not {text:?}"))
    });
    eprintln!("{test}: to repeat, set FANFARE_SEED={seed}");
    seed
}
