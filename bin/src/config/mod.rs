//! The configuration: one [`Config`] from defaults, a file, the environment and the command line.
//!
//! Each section is the `Options` of the part it configures. Unknown keys are refused, and every problem names
//! the key, where the value came from, and the fix.

mod check;
mod engine;
mod engines;
mod http;
mod layers;
mod listeners;
mod load;
mod problem;
mod schema;
mod stop;
mod tls;

pub(crate) mod reference;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use engine::{Engine, EngineKind, EngineOptions, Parts};
pub(crate) use http::HttpOptions;
pub(crate) use listeners::{Listener, Role, Serves};
pub(crate) use load::Sources;
pub(crate) use schema::json_schema;
pub(crate) use stop::DrainOptions;
pub(crate) use tls::{ClientAuth, TlsOptions, TlsVersion};

/// The kind of the demo page's topics.
pub(crate) const DEMO: &str = "demo";

/// The configuration of a Fanfare node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Which parts this process runs. Default: all there are. `[]`: none, for a node that only owns the log of others.
    pub roles: Vec<Role>,
    /// The addresses to listen at and what each serves, by name. Default: `public` for clients on port 8080 and
    /// `admin` for servers and operators on 127.0.0.1:8081. A list (`[[listeners]]` with `name`) replaces the
    /// defaults; a table (`[listeners.public]`) changes them.
    pub listeners: BTreeMap<String, Listener>,
    /// How many worker threads serve connections. Default 0: one for each core, because a worker never waits.
    pub workers: usize,
    /// Where logs are kept.
    pub engine: EngineOptions,
    /// What each kind of topic allows and keeps. `*` stands for every kind that is not named, and for what a
    /// named one does not say.
    pub topics: BTreeMap<String, fanfare_bus::PolicyOptions>,
    /// Memory and pace of the live path.
    pub hub: fanfare_bus::HubOptions,
    /// Who is let in.
    pub auth: fanfare_auth::Options,
    /// Limits and times of client sessions.
    pub session: fanfare_session::Options,
    /// How much a user, a tenant and an address may have and do.
    pub limits: fanfare_session::quota::Options,
    /// How nodes know of each other.
    pub cluster: fanfare_cluster::Options,
    /// Limits of presence. How it works in a topic is in the topic's policy.
    pub presence: fanfare_presence::Options,
    /// Limits of named consumers.
    pub consumers: fanfare_consumer::Options,
    /// Limits of the HTTP API.
    pub api: fanfare_api::Options,
    /// Server-sent events, NDJSON and long-poll.
    pub sse: fanfare_gateway_sse::Options,
    /// WebSocket.
    pub ws: fanfare_gateway_ws::Options,
    /// gRPC.
    pub grpc: fanfare_gateway_grpc::Options,
    /// What the application is asked before something is done.
    pub hooks: fanfare_hooks::Options,
    /// How connections are taken and kept.
    pub http: HttpOptions,
    /// How the process stops.
    pub drain: DrainOptions,
    /// Logs and traces.
    pub telemetry: fanfare_telemetry::Options,
}

impl Default for Config {
    fn default() -> Self {
        Self::defaults(false)
    }
}

impl Config {
    /// The defaults; with `dev`, those of a development machine: nothing listens beyond it.
    pub(crate) fn defaults(dev: bool) -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            listeners: Listener::defaults(dev),
            workers: 0,
            engine: EngineOptions::default(),
            topics: topics(dev),
            hub: fanfare_bus::HubOptions::default(),
            auth: fanfare_auth::Options { dev, ..fanfare_auth::Options::default() },
            session: fanfare_session::Options::default(),
            limits: fanfare_session::quota::Options::default(),
            cluster: fanfare_cluster::Options::default(),
            presence: fanfare_presence::Options::default(),
            consumers: fanfare_consumer::Options::default(),
            api: fanfare_api::Options::default(),
            sse: fanfare_gateway_sse::Options {
                allowed_origins: origins(dev),
                // The demo page uses the browser's own `EventSource`, which can send no header.
                token_in_query: dev,
                ..fanfare_gateway_sse::Options::default()
            },
            ws: fanfare_gateway_ws::Options { allowed_origins: origins(dev), ..fanfare_gateway_ws::Options::default() },
            grpc: fanfare_gateway_grpc::Options {
                allowed_origins: origins(dev),
                ..fanfare_gateway_grpc::Options::default()
            },
            hooks: fanfare_hooks::Options::default(),
            http: HttpOptions::default(),
            drain: DrainOptions::default(),
            telemetry: fanfare_telemetry::Options::default(),
        }
    }

    /// The section `auth` as the node uses it. Whoever keeps events keeps what was revoked as well: a restart must not let
    /// anybody in again. Where there may be other nodes, it is in the log.
    pub(crate) fn auth_of_node(&self) -> fanfare_auth::Options {
        let mut auth = self.auth.clone();
        if self.engine.is_embedded() && !self.is_cluster() {
            auth.revocations_file.get_or_insert_with(|| self.engine.path.join("revocations.json"));
        }
        auth
    }

    /// Whether this node lends its engine to others.
    pub(crate) fn lends_engine(&self) -> bool {
        self.listeners.values().any(|listener| listener.serves.contains(&Serves::Engine))
    }

    /// Whether there may be other nodes.
    pub(crate) fn is_cluster(&self) -> bool {
        self.engine.is_shared() || self.lends_engine()
    }

    /// How many worker threads there will be.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            set => set,
        }
    }
}

/// Pages of every origin in development, of none otherwise.
fn origins(dev: bool) -> Vec<String> {
    dev.then(|| "*".to_owned()).into_iter().collect()
}

/// In development clients may publish to the topics of the demo page, and see who is there.
fn topics(dev: bool) -> BTreeMap<String, fanfare_bus::PolicyOptions> {
    let demo = fanfare_bus::PolicyOptions {
        client_publish: Some(true),
        presence: Some(fanfare_bus::PresenceOptions::Is(true)),
        ..fanfare_bus::PolicyOptions::default()
    };
    dev.then(|| (DEMO.to_owned(), demo)).into_iter().collect()
}
