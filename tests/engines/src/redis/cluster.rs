//! A Redis Cluster of three masters with a replica each.

use super::server::{KEEPS_OVER_A_KILL, Redis, RedisKind};
use crate::patience::eventually;
use crate::ports::Port;
use crate::process::run;
use crate::program::Program;

/// Whether replicas may not take over: so it is until a test waits for it, for a busy machine must not make a failover.
const HELD_BACK: &str = "cluster-replica-no-failover";

/// Three masters and their replicas, which take over some seconds after it is waited for.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Redis>,
    _buses: Vec<Port>,
}

impl RedisCluster {
    /// Starts six servers of Redis 7.0 and joins them; every slot is served and every replica in step when this
    /// returns.
    pub async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// As [`RedisCluster::start`], with more arguments (as on the command line) for each server by its number, from 0 to 5.
    pub async fn start_with(more: impl Fn(usize) -> Vec<String>) -> Self {
        let buses: Vec<Port> = (0..6).map(|_| Port::reserve()).collect();
        let launch = |(number, bus): (usize, &Port)| {
            let (bus, more) = (bus.number().to_string(), more(number));
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            let arguments = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus],
                ["--cluster-node-timeout", "2000"],
                // A replica may take over however stale it is: that is the case to survive.
                ["--cluster-replica-validity-factor", "0"],
                ["--cluster-replica-no-failover", "yes"],
                ["--repl-diskless-sync-delay", "0"],
            ];
            Redis::launch(RedisKind::Redis70, &[arguments.as_flattened(), &KEEPS_OVER_A_KILL, &more].concat())
        };
        let cluster = Self { servers: buses.iter().enumerate().map(launch).collect(), _buses: buses };
        for server in &cluster.servers {
            server.until_ready().await;
        }
        let addresses: Vec<String> = cluster.servers.iter().map(|server| server.address().to_string()).collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        run(None, Program::RedisCli, &arguments).await;
        cluster.until_whole().await;
        cluster
    }

    /// The URLs of all six.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Redis::url).collect()
    }

    /// All six.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The server that owns the slot of `key` now, asked of one that is up.
    pub async fn owner_of(&self, key: &str) -> &Redis {
        eventually(|| format!("an owner of {key}"), async || self.find_owner(key).await).await
    }

    /// The replica of a master, if it has one that is up.
    pub async fn replica_of(&self, master: &Redis) -> Option<&Redis> {
        let port = master.port().to_string();
        for server in &self.servers {
            let is_up = server.role().await.is_some_and(|role| role == "slave");
            if is_up && server.cli(&["ROLE"]).await.lines().nth(2) == Some(&port) {
                return Some(server);
            }
        }
        None
    }

    /// Waits until another server than `old`, which is down, owns the slot of `key`, and the cluster serves every slot: it.
    pub async fn until_promoted(&self, old: &Redis, key: &str) -> &Redis {
        self.hold_back("no").await;
        let promoted = eventually(
            || format!("another owner of {key}"),
            async || {
                let owner = self.find_owner(key).await?;
                (owner.port() != old.port() && is_ok(owner).await).then_some(owner)
            },
        )
        .await;
        self.hold_back("yes").await;
        promoted
    }

    async fn hold_back(&self, whether: &str) {
        for server in &self.servers {
            if server.role().await.is_some() {
                assert_eq!(server.cli(&["CONFIG", "SET", HELD_BACK, whether]).await, "OK");
            }
        }
    }

    async fn find_owner(&self, key: &str) -> Option<&Redis> {
        for server in &self.servers {
            if server.role().await.as_deref() != Some("master") {
                continue;
            }
            // A master that does not own the slot says who does.
            let answer = server.cli(&["GET", key]).await;
            if !answer.starts_with("MOVED") && !answer.contains("CLUSTERDOWN") {
                return Some(server);
            }
        }
        None
    }

    /// Whether a server sees all six, and knows which are replicas: before that it sends clients to fewer, and does not
    /// vote for a replica that it takes for something else.
    async fn is_known_to(&self, server: &Redis) -> bool {
        let nodes = server.cli(&["CLUSTER", "NODES"]).await;
        let [seen, replicas] =
            [" connected", "slave"].map(|word| nodes.lines().filter(|node| node.contains(word)).count());
        seen == self.servers.len() && replicas == self.servers.len() / 2
    }

    async fn until_whole(&self) {
        eventually(
            || "the cluster to be whole",
            async || {
                for server in &self.servers {
                    let replication = server.cli(&["INFO", "replication"]).await;
                    let in_step =
                        replication.contains("master_link_status:up") || replication.contains("connected_slaves:1");
                    if !is_ok(server).await || !in_step || !self.is_known_to(server).await {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
    }
}

async fn is_ok(server: &Redis) -> bool {
    server.role().await.is_some() && server.cli(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
}
