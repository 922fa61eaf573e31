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

/// What a node for backends runs.
const API: &[&str] = &["api", "grpc"];

impl Cluster {
    /// Starts the engine, a node for backends and two gateways.
    pub async fn start(shared: Shared, config: Config) -> Self {
        let mut engines = Engines::default();
        // A node that is late with its answer is no node that is away.
        let config = engines.start(shared, config.set("cluster", "patience = \"30s\"")).await;
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
        match shared {
            Shared::Remote => {
                let hub = self.hub.insert(Server::start(config.clone().hub()).await);
                config.on_remote(hub.admin())
            }
            Shared::Redis => config.on_redis(&[self.start_redis().await], &[]),
            Shared::Nats => config.on_nats(&[self.start_nats().await], &[]),
            Shared::Postgres => config.on_postgres(&self.start_postgres().await),
            Shared::PostgresRedis => {
                config.on_postgres_and(&self.start_postgres().await, "redis", self.start_redis().await)
            }
            Shared::PostgresNats => {
                config.on_postgres_and(&self.start_postgres().await, "nats", self.start_nats().await)
            }
        }
    }

    async fn start_redis(&mut self) -> String {
        self.redis.insert(Redis::start().await).url()
    }

    async fn start_nats(&mut self) -> String {
        self.nats.insert(Nats::start().await).url()
    }

    async fn start_postgres(&mut self) -> String {
        self.postgres.insert(Postgres::start().await).url()
    }
}
