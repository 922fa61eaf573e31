//! One Redis or Valkey server.

use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::patience::eventually;
use crate::ports::Port;
use crate::process::{Process, run};
use crate::program::Program;
use crate::scratch;

/// Which server, by the version that its users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisKind {
    /// Redis 6.2: the oldest that is supported; no sharded pub/sub.
    Redis62,
    /// Redis 7.0, of Debian.
    Redis70,
    /// Redis 8.2.
    Redis82,
    /// Valkey 8.1.
    Valkey81,
}

impl RedisKind {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Redis62, Self::Redis70, Self::Redis82, Self::Valkey81];

    fn program(self) -> Program {
        match self {
            Self::Redis62 => Program::Redis62,
            Self::Redis70 => Program::Redis70,
            Self::Redis82 => Program::Redis82,
            Self::Valkey81 => Program::Valkey81,
        }
    }
}

/// An append-only file that has every command before it is answered; the operating system's cache survives a kill. With
/// `everysec` the server answers for up to two seconds without writing while a disk is slow.
pub(super) const KEEPS_OVER_A_KILL: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "no"];

/// A server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Redis {
    /// Starts Debian's Redis 7.0, which keeps everything it acknowledged over a kill.
    pub async fn start() -> Self {
        Self::start_with(RedisKind::Redis70, &KEEPS_OVER_A_KILL).await
    }

    /// Starts one of `kind` that keeps nothing over a restart unless `arguments` (as on the command line) say so.
    pub async fn start_with(kind: RedisKind, arguments: &[&str]) -> Self {
        let redis = Self::launch(kind, arguments);
        redis.until_ready().await;
        redis
    }

    /// Starts one and does not wait until it is ready.
    pub(super) fn launch(kind: RedisKind, arguments: &[&str]) -> Self {
        let (port, folder) = (Port::reserve(), scratch::directory());
        let fixed = ["--bind", "127.0.0.1", "--save", "", "--protected-mode", "no", "--daemonize", "no"];
        let mut all: Vec<String> = vec!["--port".to_owned(), port.number().to_string()];
        all.extend(fixed.iter().chain(arguments).map(|&argument| argument.to_owned()));
        let process = Process::start(&format!("{kind:?}"), kind.program(), all, folder.path());
        Self { process, port, folder }
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// SIGTERM; returns when it has ended.
    pub async fn stop(&self) {
        self.process.end(Signal::TERM).await;
    }

    /// Starts it again with the same port and directory, after ending it (SIGTERM) if it runs. Ready when it returns.
    pub async fn restart(&self) {
        self.stop().await;
        self.process.spawn();
        self.until_ready().await;
    }

    /// Starts it again after [`Redis::kill`] with nothing in it: what a server without a disk does.
    pub async fn restart_empty(&self) {
        let kept = self.folder.path().join("appendonlydir");
        if kept.exists() {
            std::fs::remove_dir_all(kept).expect("it is in our own directory");
        }
        self.restart().await;
    }

    /// SIGSTOP: connections stay and nothing answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// What `redis-cli` prints for `arguments`; panics if it cannot connect.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port(), arguments).await
    }

    /// Waits until the replicas have everything that this server has now. Panics if it has none.
    pub async fn until_replicated(&self) {
        let number = |info: &str, name: &str| -> Option<u64> {
            let (_, rest) = info.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let now = self.cli(&["INFO", "replication"]).await;
        let goal = number(&now, "master_repl_offset:").expect("a server knows its offset");
        assert!(now.contains("slave0:"), "it has a replica: {now}");
        eventually(
            || "the replica to be in step",
            async || {
                let info = self.cli(&["INFO", "replication"]).await;
                number(info.split_once("slave0:")?.1, "offset=").filter(|at| *at >= goal).map(drop)
            },
        )
        .await;
    }

    /// Breaks off replication from this server and lets no replica back: from here on they are stale, and one that is
    /// promoted has lost what is acknowledged after this. Lasts until the server is restarted or
    /// [`Redis::admit_replicas`].
    pub async fn refuse_replicas(&self) {
        self.cli(&["ACL", "SETUSER", "default", "-psync", "-sync"]).await;
        self.cli(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    }

    /// Takes [`Redis::refuse_replicas`] back.
    pub async fn admit_replicas(&self) {
        self.cli(&["ACL", "SETUSER", "default", "+psync", "+sync"]).await;
    }

    /// The role that it plays now: `master`, `slave` or, with a server that is down, nothing.
    pub async fn role(&self) -> Option<String> {
        if !answers(self.address()).await {
            return None;
        }
        self.cli(&["ROLE"]).await.lines().next().map(str::to_owned)
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub(super) async fn until_ready(&self) {
        self.process.until_ready(async || answers(self.address()).await).await;
    }
}

/// What `redis-cli` prints for `arguments` at `port`.
pub(super) async fn cli(port: u16, arguments: &[&str]) -> String {
    let port = port.to_string();
    let mut all = vec!["-h", "127.0.0.1", "-p", &port];
    all.extend(arguments);
    run(None, Program::RedisCli, &all).await.trim_end().to_owned()
}

/// Whether a server at `address` answers a PING, which one that still reads its file does not.
pub(super) async fn answers(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(&answer == b"+PONG")
    };
    asked.await.unwrap_or(false)
}
