//! The section `engine`.

use std::path::PathBuf;

use fanfare_history::{embedded, memory};
use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where logs are kept, and what carries events between nodes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineOptions {
    /// `embedded` (default: in a directory of this machine), `memory` (forgets everything at the stop), or what many nodes
    /// share: `redis`, `nats`, `postgres`, `remote` (a node that owns the log), or `composed` (a log and what carries its
    /// news, chosen apart).
    pub kind: EngineKind,
    /// The directory of this node: the embedded engine's log is in `store` below it, beside that what consumers and
    /// presence keep, the key that seals resume tokens, and the development secret. Default `./data`.
    pub path: PathBuf,
    /// For how long a start waits for an engine outside of this process that is not available yet; the log says why. Default
    /// 30 s: both may be started at once, and a failover may be under way. What waiting does not mend, such as a wrong
    /// password, ends the start at once.
    pub start_patience: Duration,
    /// Limits of the memory engine, which also orders the topics that keep no history.
    pub memory: memory::Options,
    /// Limits of the embedded engine.
    pub embedded: embedded::Options,
    /// Redis or Valkey.
    #[cfg(feature = "redis")]
    pub redis: fanfare_engine_redis::Options,
    /// NATS.
    #[cfg(feature = "nats")]
    pub nats: fanfare_engine_nats::Options,
    /// `PostgreSQL`.
    #[cfg(feature = "postgres")]
    pub postgres: fanfare_engine_postgres::Options,
    /// A node that owns the log, and the gateways that use it: the same section for both.
    #[cfg(feature = "remote")]
    pub remote: fanfare_engine_remote::Options,
    /// Which engines do what, if `kind` is `composed`.
    pub composed: ComposedOptions,
}

/// An engine, or a choice of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineKind {
    /// In memory; everything is forgotten at the stop.
    Memory,
    /// In a directory of this machine.
    #[default]
    Embedded,
    /// In a node that owns the log.
    Remote,
    /// Redis or Valkey.
    Redis,
    /// NATS, with `JetStream`.
    Nats,
    /// `PostgreSQL`.
    Postgres,
    /// A log of one engine, whose news are carried by another.
    Composed,
}

/// One engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// In memory.
    Memory,
    /// In a directory of this machine.
    Embedded,
    /// In a node that owns the log.
    Remote,
    /// Redis or Valkey.
    Redis,
    /// NATS, with `JetStream`.
    Nats,
    /// `PostgreSQL`.
    Postgres,
}

/// Engines, chosen apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ComposedOptions {
    /// What keeps the logs: `postgres`, `redis`, `remote`; or `embedded` or `memory`, on the one node that owns the
    /// log and serves it to the others (`serves = ["engine"]`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Engine>,
    /// What carries the news between nodes: `redis` or `nats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fanout: Option<Engine>,
    /// What knows who is where. Default: the engine that carries the news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Engine>,
    /// What keeps the leases of the cluster. Default: the engine of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leases: Option<Engine>,
    /// What keeps the cursors of named consumers. Default: the engine of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursors: Option<Engine>,
}

/// Which engine does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Keeps the logs.
    pub log: Engine,
    /// Carries the news, if that is not the log's engine itself.
    pub fanout: Option<Engine>,
    /// Knows who is where.
    pub presence: Engine,
    /// Keeps leases.
    pub leases: Engine,
    /// Keeps cursors.
    pub cursors: Engine,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let path = PathBuf::from("./data");
        let embedded = embedded::Options::at(path.join(STORE));
        Self {
            kind: EngineKind::default(),
            path,
            start_patience: Duration::from_secs(30),
            memory: memory::Options::default(),
            embedded,
            #[cfg(feature = "redis")]
            redis: fanfare_engine_redis::Options::default(),
            #[cfg(feature = "nats")]
            nats: fanfare_engine_nats::Options::default(),
            #[cfg(feature = "postgres")]
            postgres: fanfare_engine_postgres::Options::default(),
            #[cfg(feature = "remote")]
            remote: fanfare_engine_remote::Options::default(),
            composed: ComposedOptions::default(),
        }
    }
}

/// The store wants a directory of its own.
const STORE: &str = "store";

impl EngineOptions {
    /// Puts the store into the node's directory.
    pub(super) fn adapt(&mut self) {
        self.embedded.path = self.path.join(STORE);
    }

    /// Which engine does what. `None` if `composed` does not say what it must ([`super::check`] tells).
    pub(crate) fn parts(&self) -> Option<Parts> {
        let alone = |engine| Parts { log: engine, fanout: None, presence: engine, leases: engine, cursors: engine };
        Some(match self.kind {
            EngineKind::Memory => alone(Engine::Memory),
            EngineKind::Embedded => alone(Engine::Embedded),
            EngineKind::Remote => alone(Engine::Remote),
            EngineKind::Redis => alone(Engine::Redis),
            EngineKind::Nats => alone(Engine::Nats),
            EngineKind::Postgres => alone(Engine::Postgres),
            EngineKind::Composed => {
                let ComposedOptions { log, fanout, presence, leases, cursors } = self.composed;
                let (log, fanout) = (log?, fanout?);
                Parts {
                    log,
                    fanout: Some(fanout),
                    presence: presence.unwrap_or(fanout),
                    leases: leases.unwrap_or(log),
                    cursors: cursors.unwrap_or(log),
                }
            }
        })
    }

    /// Whether `engine` does anything here.
    pub(crate) fn uses(&self, engine: Engine) -> bool {
        self.parts().is_some_and(|parts| parts.all().any(|used| used == engine))
    }

    /// Whether other nodes may use the same engine, and see what this one does.
    pub(crate) fn is_shared(&self) -> bool {
        self.parts().is_some_and(|parts| parts.all().any(|engine| !engine.is_local()))
    }

    /// Whether this node keeps anything in its own directory beyond secrets.
    pub(crate) fn is_embedded(&self) -> bool {
        self.uses(Engine::Embedded)
    }
}

impl Parts {
    /// Every engine that does something, some of them several times.
    pub(crate) fn all(&self) -> impl Iterator<Item = Engine> {
        let Self { log, fanout, presence, leases, cursors } = *self;
        [log, presence, leases, cursors].into_iter().chain(fanout)
    }
}

impl Engine {
    /// Its word in the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Remote => "remote",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Postgres => "postgres",
        }
    }

    /// Whether it is within this process.
    pub(crate) const fn is_local(self) -> bool {
        matches!(self, Self::Memory | Self::Embedded)
    }

    /// Whether this build has it.
    pub(crate) const fn is_built(self) -> bool {
        match self {
            Self::Memory | Self::Embedded => true,
            Self::Remote => cfg!(feature = "remote"),
            Self::Redis => cfg!(feature = "redis"),
            Self::Nats => cfg!(feature = "nats"),
            Self::Postgres => cfg!(feature = "postgres"),
        }
    }
}
