//! Engines that nodes share, as it stands in their configuration.

use std::net::SocketAddr;

use crate::Config;

/// Opens the engine of a node to others.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

impl Config {
    /// Of a node that lends its engine to others and does nothing else.
    pub(crate) fn hub(self) -> Self {
        self.production().roles(&[]).lends_engine(SECRET).resume_key()
    }

    /// On the engine of such a node, reached at `admin`.
    pub(crate) fn on_remote(self, admin: SocketAddr) -> Self {
        self.shared("remote", &[&format!("url = \"http://{admin}\""), &format!("secret = \"{SECRET}\"")])
    }

    /// On Redis; `more` are further keys of its section.
    pub(crate) fn on_redis(self, urls: &[String], more: &[&str]) -> Self {
        self.shared("redis", &[&[urls_line(urls).as_str()], more].concat())
    }

    /// On NATS; `more` are further keys of its section.
    pub(crate) fn on_nats(self, urls: &[String], more: &[&str]) -> Self {
        self.shared("nats", &[&[urls_line(urls).as_str()], more].concat())
    }

    /// On `PostgreSQL`.
    pub(crate) fn on_postgres(self, url: &str) -> Self {
        self.shared("postgres", &[&format!("url = \"{url}\"")])
    }

    /// With the log in `PostgreSQL`, carried by `carrier`, which is `redis` or `nats`.
    pub(crate) fn on_postgres_and(self, url: &str, carrier: &str, carrier_url: String) -> Self {
        self.shared("composed", &["log = \"postgres\"", &format!("fanout = \"{carrier}\"")])
            .set("engine.postgres", &format!("url = \"{url}\""))
            .set(&format!("engine.{carrier}"), &urls_line(&[carrier_url]))
    }
}

fn urls_line(urls: &[String]) -> String {
    format!("urls = {urls:?}")
}
