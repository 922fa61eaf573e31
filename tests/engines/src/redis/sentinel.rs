//! A master and a replica that three Sentinels watch over.

use tempfile::TempDir;

use super::server::{KEEPS_OVER_A_KILL, Redis, RedisKind, answers, cli};
use crate::patience::eventually;
use crate::ports::Port;
use crate::process::Process;
use crate::program::Program;
use crate::scratch;

/// What the Sentinels call the master.
const MASTER_NAME: &str = "fanfare";

/// How long a server may be silent before it is taken to be down, ms, until a test waits for a failover: a busy machine
/// must not make one.
const PATIENT: &str = "3600000";

/// The same while a test waits for it.
const IMPATIENT: &str = "1000";

/// A master, its replica and three Sentinels, which promote the replica a second or two after it is waited for.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: [Redis; 2],
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    port: Port,
    _process: Process,
    _folder: TempDir,
}

impl RedisSentinel {
    /// Starts them; the replica is in step and the Sentinels agree when this returns.
    pub async fn start() -> Self {
        // Who is a replica is said by command and not on the command line: Sentinel changes it, and a server that
        // comes back asks nobody and is told.
        let arguments = [&KEEPS_OVER_A_KILL[..], &["--repl-diskless-sync-delay", "0"]].concat();
        let servers = [(); 2].map(|()| Redis::launch(RedisKind::Redis70, &arguments));
        for server in &servers {
            server.until_ready().await;
        }
        let [master, replica] = &servers;
        replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
        until_in_step(replica).await;
        let sentinels = (0..3).map(|_| Sentinel::start(master.port())).collect();
        let started = Self { servers, sentinels };
        for sentinel in &started.sentinels {
            sentinel.until_it_agrees().await;
        }
        started
    }

    /// The URLs of the Sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| format!("redis://{}", sentinel.port.address())).collect()
    }

    /// What the Sentinels call the master.
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// Both servers; the first was the master when they were started.
    pub fn servers(&self) -> &[Redis; 2] {
        &self.servers
    }

    /// The server that the Sentinels name as the master now.
    pub async fn master(&self) -> &Redis {
        let port = self.sentinels[0].master_port().await;
        self.servers.iter().find(|server| server.port() == port).expect("the master is one of ours")
    }

    /// Starts the other server than `master` again, which was killed; it is in step with `master` when this returns.
    pub async fn restart_as_replica_of(&self, master: &Redis) {
        let other = self.servers.iter().find(|server| server.port() != master.port()).expect("there are two");
        other.restart().await;
        // It believes to be a master until Sentinel says otherwise, which takes ten seconds and is not what is tested.
        other.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
        until_in_step(other).await;
    }

    /// Waits until another server than `old`, which is down, is the master, for every Sentinel and by its own word: it.
    pub async fn until_promoted(&self, old: &Redis) -> &Redis {
        let new = self.servers.iter().find(|server| server.port() != old.port()).expect("there are two");
        self.bear_silence(IMPATIENT).await;
        eventually(
            || "the replica to be promoted",
            async || {
                for sentinel in &self.sentinels {
                    if sentinel.master_port().await != new.port() {
                        return None;
                    }
                }
                (new.role().await? == "master").then_some(())
            },
        )
        .await;
        self.bear_silence(PATIENT).await;
        new
    }

    async fn bear_silence(&self, milliseconds: &str) {
        for sentinel in &self.sentinels {
            let set = ["SENTINEL", "SET", MASTER_NAME, "down-after-milliseconds", milliseconds];
            assert_eq!(cli(sentinel.port.number(), &set).await, "OK");
        }
    }
}

async fn until_in_step(replica: &Redis) {
    eventually(
        || "the replica to be in step",
        async || replica.cli(&["INFO", "replication"]).await.contains("master_link_status:up").then_some(()),
    )
    .await;
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let (port, folder) = (Port::reserve(), scratch::directory());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\nprotected-mode no\n\
             sentinel monitor {MASTER_NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} {PATIENT}\n\
             sentinel failover-timeout {MASTER_NAME} 3000\n",
            port.number()
        );
        std::fs::write(&file, text).expect("it is in our own directory");
        let arguments = vec![file.display().to_string()];
        let process = Process::start("Sentinel", Program::RedisSentinel, arguments, folder.path());
        Self { port, _process: process, _folder: folder }
    }

    /// Waits until it knows the others and the replica, without which it promotes nobody.
    async fn until_it_agrees(&self) {
        eventually(
            || "the Sentinels to find each other",
            async || {
                if !answers(self.port.address()).await {
                    return None;
                }
                let quorum = cli(self.port.number(), &["SENTINEL", "CKQUORUM", MASTER_NAME]).await;
                let replicas = cli(self.port.number(), &["SENTINEL", "REPLICAS", MASTER_NAME]).await;
                (quorum.starts_with("OK 3 usable") && replicas.contains("master-link-status\nok")).then_some(())
            },
        )
        .await;
    }

    async fn master_port(&self) -> u16 {
        let answer = cli(self.port.number(), &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME]).await;
        answer.lines().nth(1).and_then(|port| port.parse().ok()).expect("Sentinel knows the master")
    }
}
