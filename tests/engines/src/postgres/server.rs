//! One `PostgreSQL` server.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::patience::eventually;
use crate::ports::Port;
use crate::process::{Process, run};
use crate::program::Program;
use crate::scratch;

/// The user that servers run as when the tests run as root, which `PostgreSQL` refuses to. Debian's package makes it.
const UNPRIVILEGED: &str = "postgres";

/// A server with a superuser `postgres` that needs no password, and a database of the same name. It is killed when this
/// is dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Postgres {
    /// Starts one that writes to the disk before it acknowledges, as it does by default.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with other settings, e.g. `["synchronous_commit=off"]`.
    pub async fn start_with(settings: &[&str]) -> Self {
        let (port, folder) = (Port::reserve(), directory());
        let data = folder.path().join("data").display().to_string();
        let arguments = ["-D", &data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"];
        run(user(), Program::Initdb, &arguments).await;
        let replication = "host replication postgres 127.0.0.1/32 trust\n";
        let hba = Path::new(&data).join("pg_hba.conf");
        let mut rules = std::fs::read_to_string(&hba).expect("initdb wrote it");
        rules.push_str(replication);
        std::fs::write(&hba, rules).expect("it is in our own directory");
        Self::start_in(folder, port, settings).await
    }

    /// Starts one on data that is there.
    async fn start_in(folder: TempDir, port: Port, settings: &[&str]) -> Self {
        let data = folder.path().join("data").display().to_string();
        let (number, socket) = (port.number().to_string(), folder.path().display().to_string());
        let fixed = [
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "wal_level=logical",
            "max_wal_senders=10",
            "max_replication_slots=10",
            "hot_standby=on",
            // Room for a server that lags or is down for a while during a test.
            "wal_keep_size=256MB",
            "shared_buffers=32MB",
        ];
        let mut arguments = ["-D", &data, "-p", &number, "-k", &socket].map(str::to_owned).to_vec();
        for setting in fixed.iter().chain(settings) {
            arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
        }
        let process = Process::start_as(user(), "PostgreSQL", Program::Postgres, arguments, folder.path());
        let postgres = Self { process, port, folder };
        postgres.until_ready().await;
        postgres
    }

    /// `postgres://postgres@127.0.0.1:<port>/postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `kill -9` of the postmaster and of every backend; returns when the postmaster is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// A fast shutdown (SIGINT: sessions are cut, what was committed is checkpointed); returns when it has ended.
    pub async fn stop(&self) {
        self.process.end(Signal::INT).await;
    }

    /// Starts it again with the same port and directory, after ending it if it runs. Ready when it returns.
    pub async fn restart(&self) {
        self.stop().await;
        self.process.spawn();
        self.until_ready().await;
    }

    /// SIGSTOP to the postmaster and to every backend: connections stay and nothing answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// What `psql` prints for `statement`, unaligned and without headers; panics if it fails.
    pub async fn sql(&self, statement: &str) -> String {
        let url = self.url();
        run(None, Program::Psql, &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", statement])
            .await
            .trim_end()
            .to_owned()
    }

    /// Makes an empty database, for a test that shares the server with others: its URL.
    pub async fn database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE {name}")).await;
        format!("postgres://postgres@{}/{name}", self.address())
    }

    /// Starts a server that follows this one. It answers reads, and writes once it is promoted
    /// ([`Postgres::promote`]); until then what is committed here and not yet there is lost with this one, unless
    /// [`Postgres::wait_for_standbys`].
    pub async fn standby(&self) -> Self {
        self.standby_via(self.address()).await
    }

    /// As [`Postgres::standby`], following through `address`: a proxy that can cut it off, so that it goes stale.
    pub async fn standby_via(&self, address: SocketAddr) -> Self {
        let (port, folder) = (Port::reserve(), directory());
        let data = folder.path().join("data").display().to_string();
        let (host, through) = (address.ip().to_string(), address.port().to_string());
        let from = ["-h", &host, "-p", &through, "-U", "postgres"];
        let into = ["-D", &data, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
        run(user(), Program::PgBasebackup, &[from.as_slice(), into.as_slice()].concat()).await;
        Self::start_in(folder, port, &[]).await
    }

    /// From now on a commit is acknowledged only when a standby has written it to its disk.
    pub async fn wait_for_standbys(&self) {
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        self.sql("SELECT pg_reload_conf()").await;
        eventually(
            || "a standby that commits wait for",
            async || {
                let state = self.sql("SELECT sync_state FROM pg_stat_replication").await;
                state.contains("sync").then_some(()).filter(|()| !state.contains("async"))
            },
        )
        .await;
    }

    /// Waits until the standby has on its disk everything that this server has committed now.
    pub async fn until_replicated(&self) {
        let goal = self.sql("SELECT pg_current_wal_lsn()").await;
        let question = format!("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '{goal}'");
        eventually(|| "the standby to be in step", async || (self.sql(&question).await == "1").then_some(())).await;
    }

    /// Makes a standby a server that takes writes; returns when it does.
    pub async fn promote(&self) {
        let answer = self.sql("SELECT pg_promote(true, 60)").await;
        assert_eq!(answer, "t", "the standby was promoted");
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn until_ready(&self) {
        let (port, socket) = (self.port().to_string(), self.folder.path().display().to_string());
        self.process.until_ready(async || is_ready(&socket, &port).await).await;
    }
}

/// Whether the server lets people in.
async fn is_ready(socket: &str, port: &str) -> bool {
    let mut command = tokio::process::Command::new(Program::Psql.path());
    command.args(["-X", "-q", "-h", socket, "-p", port, "-U", "postgres", "-c", "SELECT 1"]).kill_on_drop(true);
    command.stdin(std::process::Stdio::null()).output().await.is_ok_and(|output| output.status.success())
}

/// The user to run as.
fn user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some(UNPRIVILEGED)
}

/// A directory that the server's user may use.
fn directory() -> TempDir {
    let folder = scratch::directory();
    if user().is_some() {
        let owner = format!("{UNPRIVILEGED}:{UNPRIVILEGED}");
        let status = std::process::Command::new("chown").arg(owner).arg(folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "root may give a directory to {UNPRIVILEGED}");
    }
    folder
}
