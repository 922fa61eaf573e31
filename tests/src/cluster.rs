//! Several nodes that share an engine.

use std::fmt;

use fanfare_test_engines::{Nats, Postgres, Redis};

use crate::{Config, Server};

/// What nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The embedded engine of a node of their own kind.
    Remote,
    /// Redis.
    Redis,
    /// NATS `JetStream`.
    Nats,
    /// `PostgreSQL`.
    Postgres,
    /// The log in `PostgreSQL`, carried by Redis.
    PostgresRedis,
    /// The log in `PostgreSQL`, carried by NATS.
    PostgresNats,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The running servers behind [`Shared`].
#[derive(Default)]
pub struct Engines {
    /// The node that lends its engine.
    pub hub: Option<Server>,
    /// Redis.
    pub redis: Option<Redis>,
    /// NATS.
    pub nats: Option<Nats>,
    /// `PostgreSQL`.
    pub postgres: Option<Postgres>,
}

/// A node for backends, two gateways for clients, and what they share.
pub struct Cluster {
    config: Config,
    /// What they share.
    pub engines: Engines,
    /// The node for backends.
    pub api: Server,
    /// The nodes for clients.
    pub gateways: Vec<Server>,
}

/// Opens the engine of a node to others.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a node for backends runs.
const API: &[&str] = &["api", "grpc"];

impl Cluster {
    /// Starts the engine, a node for backends and two gateways.
    pub async fn start(shared: Shared, config: Config) -> Self {
        let mut engines = Engines::default();
        let config = engines.start(shared, config).await;
        let api = Server::start(config.clone().roles(API)).await;
        let mut cluster = Self { config, engines, api, gateways: Vec::new() };
        for _ in 0..2 {
            cluster.add_gateway().await;
        }
        cluster
    }

    /// Starts one more node for backends.
    pub async fn add_api(&self) -> Server {
        Server::start(self.config.clone().roles(API)).await
    }

    /// Starts one more gateway; says which one it is.
    pub async fn add_gateway(&mut self) -> usize {
        self.gateways.push(Server::start(self.config.clone().roles(&["sse", "ws", "grpc"])).await);
        self.gateways.len() - 1
    }
}

impl Engines {
    /// Starts what is shared; the configuration of the nodes that share it.
    async fn start(&mut self, shared: Shared, config: Config) -> Config {
        let url = |url: String| format!("url = \"{url}\"");
        let urls = |url: String| format!("urls = [\"{url}\"]");
        match shared {
            Shared::Remote => {
                let hub = Server::start(config.clone().production().roles(&[]).lends_engine(SECRET).resume_key()).await;
                let lines = [url(format!("http://{}", hub.admin())), format!("secret = \"{SECRET}\"")];
                self.hub = Some(hub);
                config.shared("remote", &[&lines[0], &lines[1]])
            }
            Shared::Redis => {
                let redis = self.redis.insert(Redis::start().await);
                config.shared("redis", &[&urls(redis.url())])
            }
            Shared::Nats => {
                let nats = self.nats.insert(Nats::start().await);
                config.shared("nats", &[&urls(nats.url())])
            }
            Shared::Postgres => {
                let postgres = self.postgres.insert(Postgres::start().await);
                config.shared("postgres", &[&url(postgres.url())])
            }
            Shared::PostgresRedis => {
                let postgres = self.postgres.insert(Postgres::start().await);
                let redis = self.redis.insert(Redis::start().await);
                config
                    .shared("composed", &["log = \"postgres\"", "fanout = \"redis\""])
                    .set("engine.postgres", &url(postgres.url()))
                    .set("engine.redis", &urls(redis.url()))
            }
            Shared::PostgresNats => {
                let postgres = self.postgres.insert(Postgres::start().await);
                let nats = self.nats.insert(Nats::start().await);
                config
                    .shared("composed", &["log = \"postgres\"", "fanout = \"nats\""])
                    .set("engine.postgres", &url(postgres.url()))
                    .set("engine.nats", &urls(nats.url()))
            }
        }
    }
}
