//! Where the server is, and with which token to come.

use std::sync::Arc;

use clap::Args;
use fanfare_auth::{Action, Door as Side, Grant, MintRequest, Pattern};
use fanfare_model::SystemClock;
use rustls::ClientConfig;
use url::Url;

use crate::config::Sources;
use crate::failure::{Code, Failure};
use crate::serve::dev;
use crate::serve::kept::KeptSecret;
use crate::tls::{self, ClientTls};

/// The door for clients: SSE and WebSocket.
#[derive(Debug, Args)]
pub(crate) struct ClientDoor {
    /// Where clients connect.
    #[arg(long, env = "FANFARE_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A token for the client door.
    #[arg(long, env = "FANFARE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Make a token with the development secret kept in the data directory here.
    #[arg(long, conflicts_with = "token")]
    dev: bool,
    #[command(flatten)]
    tls: ClientTls,
}

/// The door for servers: the HTTP API.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerDoor {
    /// Where the HTTP API is. Default: `FANFARE_URL`, then <http://127.0.0.1:8081>.
    #[arg(long, env = "FANFARE_API_URL")]
    url: Option<Url>,
    /// A token or an API key for the server door. Default: `FANFARE_TOKEN`.
    #[arg(long, env = "FANFARE_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Make a token with the development secret kept in the data directory here.
    #[arg(long, conflicts_with = "token")]
    dev: bool,
    #[command(flatten)]
    tls: ClientTls,
}

/// A server and a token.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub url: Url,
    pub token: Option<String>,
    /// How to speak with an `https` server.
    pub tls: Option<Arc<ClientConfig>>,
}

/// The API of a node with the default configuration.
pub(crate) const API: &str = "http://127.0.0.1:8081";

impl ClientDoor {
    pub(crate) fn open(self) -> Result<Door, Failure> {
        let token = if self.dev { Some(development_token(Side::Client)?) } else { self.token };
        Door::new(self.url, token, &self.tls)
    }
}

impl ServerDoor {
    pub(crate) fn open(self) -> Result<Door, Failure> {
        let url = match self.url {
            Some(url) => url,
            None => variable("FANFARE_URL")
                .unwrap_or_else(|| API.to_owned())
                .parse()
                .map_err(|error| Failure::because(Code::Unusable, "FANFARE_URL is not a URL", error))?,
        };
        let token = if self.dev {
            Some(development_token(Side::Server)?)
        } else {
            self.token.or_else(|| variable("FANFARE_TOKEN"))
        };
        Door::new(url, token, &self.tls)
    }
}

impl Door {
    fn new(url: Url, token: Option<String>, tls: &ClientTls) -> Result<Self, Failure> {
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            let tls = if url.scheme() == "https" { Some(tls::client(tls)?) } else { None };
            return Ok(Self { url, token, tls });
        }
        Err(Failure::new(Code::Unusable, format!("{url} is not the URL of a server; write it like {API}")))
    }

    /// The URL of `path` at this server, below whatever path the server's own URL has.
    pub(crate) fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A token that allows everything for an hour.
fn development_token(side: Side) -> Result<String, Failure> {
    let config = Sources { dev: true, ..Sources::default() }.load()?.config;
    if KeptSecret::of_development(&config.engine.path).read()?.is_none() {
        let path = config.engine.path.display();
        let text = format!("there is no development secret in {path}; start `fanfare serve --dev` here once");
        return Err(Failure::new(Code::TokenUnmade, text));
    }
    let auth = dev::auth(&config, true, Arc::new(SystemClock))?;
    let everything = Pattern::parse("*").map_err(|error| Failure::new(Code::Unusable, error.to_string()))?;
    let request = MintRequest {
        issuer: Some(dev::ISSUER.to_owned()),
        door: side,
        grants: vec![Grant { topics: vec![everything], allow: Action::ALL.to_vec() }],
        ..MintRequest::default()
    };
    auth.mint(request).map_err(|error| Failure::new(Code::TokenUnmade, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_servers_own_and_are_escaped() {
        let door = Door { url: "https://example.org/push/".parse().unwrap(), token: None, tls: None };
        assert_eq!(door.at(&["v1", "topics", "a/b ü"]).as_str(), "https://example.org/push/v1/topics/a%2Fb%20%C3%BC");
        assert!(Door::new("ftp://example.org".parse().unwrap(), None, &ClientTls::default()).is_err());
    }
}
