//! Three servers that keep every stream three times.

use serde_json::Value;

use super::server::Nats;
use crate::patience::eventually;
use crate::ports::Port;

/// A cluster of three. One may go: the other two elect a leader for every stream within some seconds.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<Nats>,
    _routes: Vec<Port>,
}

impl NatsCluster {
    /// Starts three servers; they are in step when this returns.
    pub async fn start() -> Self {
        let routes: Vec<Port> = (0..3).map(|_| Port::reserve()).collect();
        let all: Vec<String> = routes.iter().map(|route| format!("\"nats://{}\"", route.address())).collect();
        let launch = |(number, route): (usize, &Port)| {
            let (listen, all) = (route.address(), all.join(", "));
            let more = format!("cluster {{ name: fanfare, listen: {listen}, routes: [{all}] }}\n");
            Nats::launch(&format!("n{}", number + 1), &more)
        };
        let cluster = Self { servers: routes.iter().enumerate().map(launch).collect(), _routes: routes };
        cluster.until_whole().await;
        cluster
    }

    /// Waits until the servers agree on a leader and it sees the others: before that it refuses to place a stream three
    /// times ("peer offline"), though each server by itself is healthy.
    async fn until_placeable(&self) {
        eventually(
            || "the cluster to have a leader that sees the others",
            async || {
                let mut seen_by_leader = false;
                for server in &self.servers {
                    let meta = meta_of(server).await?;
                    if meta["leader"].as_str().is_none_or(str::is_empty) || meta["cluster_size"] != self.servers.len() {
                        return None;
                    }
                    if meta["leader"] == server.name() {
                        let others = meta["replicas"].as_array()?;
                        let are_up = others.iter().all(|other| other["current"] == true && other["offline"] != true);
                        seen_by_leader = are_up && others.len() + 1 == self.servers.len();
                    }
                }
                seen_by_leader.then_some(())
            },
        )
        .await;
    }

    /// The URLs of all three.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Nats::url).collect()
    }

    /// All three.
    pub fn servers(&self) -> &[Nats] {
        &self.servers
    }

    /// The server that leads the stream `name` now. Waits for an election that is under way.
    pub async fn leader_of(&self, name: &str) -> &Nats {
        eventually(
            || format!("a leader of the stream {name}"),
            async || {
                for server in &self.servers {
                    let streams = streams_of(server).await.unwrap_or_default();
                    if let Some(stream) = streams.into_iter().find(|stream| stream.name == name && stream.is_led()) {
                        return self.servers.iter().find(|server| server.name() == stream.leader);
                    }
                }
                None
            },
        )
        .await
    }

    /// The server that leads the stream with the most messages. Waits for an election that is under way.
    pub async fn leader_of_the_fullest(&self) -> &Nats {
        eventually(
            || "a server that leads a stream",
            async || {
                let mut streams = Vec::new();
                for server in &self.servers {
                    streams.extend(streams_of(server).await.unwrap_or_default());
                }
                let fullest = streams.into_iter().filter(Stream::is_led).max_by_key(|stream| stream.messages)?;
                self.servers.iter().find(|server| server.name() == fullest.leader)
            },
        )
        .await
    }

    /// Waits until no server that is up takes `gone` for the leader of a stream any more, nor misses one.
    pub async fn until_led_without(&self, gone: &Nats) {
        eventually(
            || format!("streams to be led by others than {}", gone.name()),
            async || {
                for server in self.servers.iter().filter(|server| server.is_up()) {
                    let streams = streams_of(server).await?;
                    let led = |stream: &Stream| stream.is_led() && stream.leader != gone.name();
                    if streams.is_empty() || !streams.iter().all(led) {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
    }

    /// Starts every server again that is not up; all are in step when this returns.
    pub async fn restart_all(&self) {
        for server in self.servers.iter().filter(|server| !server.is_up()) {
            server.restart().await;
        }
        self.until_whole().await;
    }

    /// Waits until every server is up and in step.
    pub async fn until_whole(&self) {
        for server in &self.servers {
            server.until_ready().await;
        }
        self.until_placeable().await;
    }
}

/// What a server says of the cluster.
async fn meta_of(server: &Nats) -> Option<Value> {
    let mut state: Value = serde_json::from_str(&server.monitor("/jsz").await).ok()?;
    Some(state["meta_cluster"].take())
}

/// What a server says of a stream.
struct Stream {
    name: String,
    /// Empty during an election.
    leader: String,
    messages: u64,
}

impl Stream {
    fn is_led(&self) -> bool {
        !self.leader.is_empty()
    }
}

async fn streams_of(server: &Nats) -> Option<Vec<Stream>> {
    let state: Value = serde_json::from_str(&server.monitor("/jsz?accounts=1&streams=1").await).ok()?;
    let accounts = state["account_details"].as_array()?.iter();
    let details = accounts.filter_map(|account| account["stream_detail"].as_array()).flatten();
    let streams = details.filter_map(|detail| {
        let leader = detail["cluster"]["leader"].as_str().unwrap_or_default().to_owned();
        let messages = detail["state"]["messages"].as_u64().unwrap_or_default();
        Some(Stream { name: detail["name"].as_str()?.to_owned(), leader, messages })
    });
    Some(streams.collect())
}
