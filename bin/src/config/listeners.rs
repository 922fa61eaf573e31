//! The sections `roles` and `listeners`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TlsOptions;

/// A part that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The HTTP API for servers.
    Api,
    /// Server-sent events, NDJSON and long-poll for clients.
    Sse,
    /// WebSocket for clients.
    Ws,
    /// gRPC and gRPC-Web, for clients and for servers.
    Grpc,
}

impl Role {
    /// Every role of this build.
    pub(crate) const ALL: [Self; 4] = [Self::Api, Self::Sse, Self::Ws, Self::Grpc];

    /// What a listener must serve for this role to be reachable.
    pub(crate) fn served_as(self) -> Serves {
        match self {
            Self::Api => Serves::Api,
            Self::Sse => Serves::Sse,
            Self::Ws => Serves::Ws,
            Self::Grpc => Serves::Grpc,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.served_as().as_str()
    }
}

/// What a listener offers: the roles, and the pages of the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Serves {
    /// The role `api`.
    Api,
    /// The role `sse`.
    Sse,
    /// The role `ws`.
    Ws,
    /// The role `grpc`.
    Grpc,
    /// This node's engine, for nodes that use it as a hub (`engine.kind = "remote"`).
    Engine,
    /// `/livez` and `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
    /// The demo page; only with `--dev`.
    Demo,
}

impl Serves {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Sse => "sse",
            Self::Ws => "ws",
            Self::Grpc => "grpc",
            Self::Engine => "engine",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Demo => "demo",
        }
    }
}

/// An address to listen at, and what is served there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// The address and port, e.g. `0.0.0.0:8080` or `[::]:8080`. Port 0 lets the system choose one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// What is served there: `sse`, `ws`, `grpc`, `api`, `health`, `metrics`, and with `--dev` `demo`. Put `api` and
    /// `metrics` only where your own servers can reach them. `grpc` is for clients; where `api` is served as well, it has
    /// the methods for backends too. `engine` lends this node's log to others (`engine.remote.secret`): only where those can
    /// reach it.
    pub serves: Vec<Serves>,
    /// Encrypts this listener. Default: it is not, for a proxy in front or for this machine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
}

impl Listener {
    pub(crate) fn defaults(dev: bool) -> BTreeMap<String, Self> {
        let public = if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let mut clients = vec![Serves::Sse, Serves::Ws, Serves::Grpc];
        clients.extend(dev.then_some(Serves::Demo));
        let servers = vec![Serves::Api, Serves::Grpc, Serves::Health, Serves::Metrics];
        let at = |address, port, serves| Self { bind: SocketAddr::from((address, port)), serves, tls: None };
        BTreeMap::from([
            ("public".to_owned(), at(public, 8080, clients)),
            ("admin".to_owned(), at(Ipv4Addr::LOCALHOST, 8081, servers)),
        ])
    }

    /// Whether both cannot be bound at once.
    pub(crate) fn clashes_with(&self, other: &Self) -> bool {
        let (a, b) = (self.bind, other.bind);
        let any = a.ip().is_unspecified() || b.ip().is_unspecified();
        a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || any)
    }
}
