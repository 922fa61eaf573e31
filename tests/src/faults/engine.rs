//! The engine that the nodes of a run share, and the network between.

use std::fmt;
use std::net::SocketAddr;

use fanfare_test_engines::{FaultProxy, Nats, NatsCluster, Postgres, Protocol, Redis, RedisCluster, RedisSentinel};

use crate::{Config, Server};

/// What a run stands on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// One node with everything in it.
    #[default]
    Embedded,
    /// A node that owns the embedded log, and others that use it.
    Remote,
    /// One Redis.
    Redis,
    /// A Redis that Sentinel watches over.
    RedisSentinel,
    /// A Redis Cluster.
    RedisCluster,
    /// One NATS server.
    Nats,
    /// Three NATS servers, streams kept three times.
    NatsCluster,
    /// `PostgreSQL`.
    Postgres,
    /// The log in `PostgreSQL`, carried by Redis.
    PostgresRedis,
    /// The log in `PostgreSQL`, carried by NATS.
    PostgresNats,
}

impl On {
    /// Whether offsets have holes: those of NATS count for all topics of a stream, and Redis leaves a wide one when its
    /// server has another life, so that none is used again.
    pub fn is_sparse(self) -> bool {
        matches!(self, Self::Redis | Self::RedisSentinel | Self::RedisCluster | Self::Nats | Self::NatsCluster)
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Remote => "remote",
            Self::Redis => "redis",
            Self::RedisSentinel => "redis sentinel",
            Self::RedisCluster => "redis cluster",
            Self::Nats => "nats",
            Self::NatsCluster => "nats R3",
            Self::Postgres => "postgres",
            Self::PostgresRedis => "postgres + redis",
            Self::PostgresNats => "postgres + nats",
        })
    }
}

/// The servers of an engine, running.
#[derive(Default)]
pub struct Engine {
    on: On,
    /// The node that lends its engine.
    pub hub: Option<Server>,
    /// Redis: the log, or what carries it.
    pub redis: Option<Redis>,
    /// Redis under Sentinel.
    pub sentinel: Option<RedisSentinel>,
    /// Redis Cluster.
    pub redis_cluster: Option<RedisCluster>,
    /// NATS: the log, or what carries it.
    pub nats: Option<Nats>,
    /// NATS in a cluster.
    pub nats_cluster: Option<NatsCluster>,
    /// `PostgreSQL`.
    pub postgres: Option<Postgres>,
    log_network: Option<FaultProxy>,
    carrier_network: Option<FaultProxy>,
}

impl Engine {
    /// Starts the servers; the configuration of the nodes that use them. Nodes reach a server that has one address
    /// through a [`FaultProxy`].
    pub async fn start(on: On, config: Config) -> (Self, Config) {
        let mut engine = Self { on, ..Self::default() };
        let config = match on {
            On::Embedded => config,
            On::Remote => {
                let hub = engine.hub.insert(Server::start(config.clone().hub()).await);
                let network = engine.log_network.insert(FaultProxy::start(hub.admin()).await);
                config.on_remote(network.address())
            }
            On::Redis => {
                let redis = engine.redis.insert(Redis::start().await);
                let network = engine.log_network.insert(FaultProxy::start(redis.address()).await);
                config.on_redis(&[format!("redis://{}", network.address())], &[])
            }
            On::RedisSentinel => {
                let sentinel = engine.sentinel.insert(RedisSentinel::start().await);
                let service = format!("service = \"{}\"", sentinel.master_name());
                config.on_redis(&sentinel.urls(), &["mode = \"sentinel\"", &service])
            }
            On::RedisCluster => {
                let cluster = engine.redis_cluster.insert(RedisCluster::start().await);
                config.on_redis(&cluster.urls(), &["mode = \"cluster\""])
            }
            On::Nats => {
                let nats = engine.nats.insert(Nats::start().await);
                let network = engine.log_network.insert(FaultProxy::start(nats.address()).await);
                config.on_nats(&[format!("nats://{}", network.address())], &[])
            }
            On::NatsCluster => {
                let cluster = engine.nats_cluster.insert(NatsCluster::start().await);
                config.on_nats(&cluster.urls(), &["replicas = 3"])
            }
            On::Postgres => config.on_postgres(&engine.start_postgres().await),
            On::PostgresRedis => {
                let url = engine.start_postgres().await;
                let redis = engine.redis.insert(Redis::start().await);
                let network = engine.carrier_network.insert(FaultProxy::start(redis.address()).await);
                config.on_postgres_and(&url, "redis", format!("redis://{}", network.address()))
            }
            On::PostgresNats => {
                let url = engine.start_postgres().await;
                let nats = engine.nats.insert(Nats::start().await);
                let network = engine.carrier_network.insert(FaultProxy::start(nats.address()).await);
                config.on_postgres_and(&url, "nats", format!("nats://{}", network.address()))
            }
        };
        (engine, config)
    }

    async fn start_postgres(&mut self) -> String {
        let postgres = self.postgres.insert(Postgres::start().await);
        let network = self.log_network.insert(FaultProxy::start(postgres.address()).await);
        format!("postgres://postgres@{}/postgres", network.address())
    }

    /// The network between the nodes and the log.
    pub fn network(&self) -> &FaultProxy {
        self.log_network.as_ref().unwrap_or_else(|| panic!("{} has no single address to stand before", self.on))
    }

    /// The network over which events are announced, and how. It is the log's own unless something else carries them.
    pub fn carrier(&self) -> (&FaultProxy, Protocol) {
        let protocol = match self.on {
            On::Redis | On::PostgresRedis => Protocol::Redis,
            On::Nats | On::PostgresNats => Protocol::Nats,
            On::Postgres => Protocol::Postgres,
            other => panic!("{other} announces nothing that could be lost"),
        };
        (self.carrier_network.as_ref().unwrap_or_else(|| self.network()), protocol)
    }

    /// `kill -9` of the server that keeps the log.
    pub fn kill(&mut self) {
        match (&mut self.hub, &self.postgres, &self.redis, &self.nats) {
            (Some(hub), ..) => hub.kill(),
            (_, Some(postgres), ..) => postgres.kill(),
            (.., Some(redis), _) => redis.kill(),
            (.., Some(nats)) => nats.kill(),
            _ => panic!("{} has no single server", self.on),
        }
    }

    /// Asks the server that keeps the log to end, and waits until it has.
    pub async fn stop(&mut self) {
        match (&mut self.hub, &self.postgres, &self.redis, &self.nats) {
            (Some(hub), ..) => {
                hub.terminate();
                hub.ended(crate::PATIENCE).await;
            }
            (_, Some(postgres), ..) => postgres.stop().await,
            (.., Some(redis), _) => redis.stop().await,
            (.., Some(nats)) => nats.stop().await,
            _ => panic!("{} has no single server", self.on),
        }
    }

    /// Starts it again after either.
    pub async fn restart(&mut self) {
        match (&mut self.hub, &self.postgres, &self.redis, &self.nats) {
            (Some(hub), ..) => hub.restart().await,
            (_, Some(postgres), ..) => postgres.restart().await,
            (.., Some(redis), _) => redis.restart().await,
            (.., Some(nats)) => nats.restart().await,
            _ => panic!("{} has no single server", self.on),
        }
    }

    /// Starts the server that keeps the log again after [`Engine::kill`], with nothing in it.
    pub async fn restart_empty(&mut self) {
        match (&self.redis, &self.nats) {
            (Some(redis), _) => redis.restart_empty().await,
            (_, Some(nats)) => nats.restart_empty().await,
            _ => panic!("{} does not forget", self.on),
        }
    }

    /// `kill -9` of the server that carries events between nodes and does not keep the log.
    pub fn kill_carrier(&self) {
        match (&self.redis, &self.nats) {
            (Some(redis), _) => redis.kill(),
            (_, Some(nats)) => nats.kill(),
            _ => panic!("{} has no carrier of its own", self.on),
        }
    }

    /// Starts it again.
    pub async fn restart_carrier(&self) {
        match (&self.redis, &self.nats) {
            (Some(redis), _) => redis.restart().await,
            (_, Some(nats)) => nats.restart().await,
            _ => panic!("{} has no carrier of its own", self.on),
        }
    }

    /// From now on nodes that ask for the log's address are sent to another server.
    pub fn fail_over_to(&self, server: SocketAddr) {
        self.network().retarget(server);
        self.network().cut(fanfare_test_engines::Cut::Reset);
    }
}
