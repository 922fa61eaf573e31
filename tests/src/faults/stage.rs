//! Nodes of different roles on one engine.

use std::net::SocketAddr;

use super::engine::{Engine, On};
use crate::{Config, Server};

/// An engine with nodes for backends and nodes for clients.
pub struct Stage {
    /// What they share.
    pub engine: Engine,
    /// Nodes for backends. On the embedded engine this is the one node, which does everything.
    pub apis: Vec<Server>,
    /// Nodes for clients: none on the embedded engine.
    pub gateways: Vec<Server>,
}

impl Stage {
    /// Starts the engine, two nodes for backends and so many for clients.
    pub async fn start(on: On, config: Config, gateways: usize) -> Self {
        let (engine, config) = Engine::start(on, config).await;
        let mut stage = Self { engine, apis: Vec::new(), gateways: Vec::new() };
        if on == On::Embedded {
            stage.apis.push(Server::start(config).await);
            return stage;
        }
        for _ in 0..2 {
            stage.apis.push(Server::start(config.clone().roles(&["api"])).await);
        }
        for _ in 0..gateways {
            stage.gateways.push(Server::start(config.clone().roles(&["sse", "ws", "grpc"])).await);
        }
        stage
    }

    /// Where clients connect.
    pub fn doors(&self) -> Vec<SocketAddr> {
        let gateways = if self.gateways.is_empty() { &self.apis } else { &self.gateways };
        gateways.iter().map(Server::public).collect()
    }

    /// Where backends publish.
    pub fn backends(&self) -> Vec<SocketAddr> {
        self.apis.iter().map(Server::admin).collect()
    }
}
