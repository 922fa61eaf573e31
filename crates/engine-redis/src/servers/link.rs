//! One connection to one server, and which server that is.

use std::fmt;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo, RedisError, Value,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::scripts;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: Arc::from(host), port }
    }

    /// As it stands in `MOVED` and `ASK`: `host:port`; no host means the one that said it.
    pub(crate) fn parse(text: &str, said_by: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { &said_by.host } else { host };
        Some(Self::new(host, port.parse().ok()?))
    }

    /// The address in `info`, unless it is a socket in the file system.
    pub(crate) fn of(info: &ConnectionInfo) -> Option<Self> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some(Self::new(host, *port)),
            _ => None,
        }
    }

    /// `info` with this address in place of its own.
    pub(crate) fn put_into(&self, info: &ConnectionInfo) -> ConnectionInfo {
        let addr = match info.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host: self.host.to_string(), port: self.port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(self.host.to_string(), self.port),
        };
        info.clone().set_addr(addr)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What the server on the other end says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Which life of which server this is: another one after a restart and after a failover.
    pub(crate) life: Arc<str>,
    /// Whether it is a primary.
    pub(crate) primary: bool,
    /// Major and minor version of the Redis that it speaks as (Valkey says 7.2).
    pub(crate) version: (u32, u32),
    /// Whether it is a node of a Cluster.
    pub(crate) cluster: bool,
    /// `maxmemory_policy`, if there is a bound of memory at all.
    pub(crate) evicts: Option<String>,
}

impl Identity {
    /// Reads the sections that [`Link::open`] asks for.
    fn read(info: &str) -> Option<Self> {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let mut version = field("redis_version")?.split('.').map(|part| part.parse().ok());
        let version = (version.next()??, version.next()??);
        let life = format!("{}{}", field("run_id")?, field("master_replid").unwrap_or_default());
        let bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
        Some(Self {
            life: Arc::from(format!("{:016x}", xxh3_64(life.as_bytes()))),
            primary: field("role")? == "master",
            version,
            cluster: field("redis_mode") == Some("cluster"),
            evicts: field("maxmemory_policy").filter(|policy| bounded && *policy != "noeviction").map(str::to_owned),
        })
    }
}

/// A connection that many calls share.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) identity: Arc<Identity>,
}

/// What hears the pushes of a connection.
pub(crate) type Pushes = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Opens a bare connection.
pub(crate) async fn open(
    client: &Client,
    timeout: std::time::Duration,
    pushes: Option<Pushes>,
) -> Result<MultiplexedConnection, RedisError> {
    let mut config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
    if let Some(pushes) = pushes {
        config = config.set_push_sender(move |push: PushInfo| {
            pushes(push);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl Link {
    /// Connects, learns who is there, and leaves the scripts with it.
    pub(crate) async fn open(
        client: &Client,
        timeout: std::time::Duration,
        pushes: Option<Pushes>,
    ) -> Result<Self, RedisError> {
        let mut connection = open(client, timeout, pushes).await?;
        let mut info = String::new();
        for section in ["server", "replication", "memory"] {
            let text: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await?;
            info.push_str(&text);
        }
        let identity = Identity::read(&info)
            .ok_or_else(|| RedisError::from((redis::ErrorKind::UnexpectedReturnType, "INFO has no run_id or role")))?;
        let mut link = Self { connection, identity: Arc::new(identity) };
        if link.identity.primary {
            link.load().await?;
        }
        Ok(link)
    }

    /// Leaves the scripts with the server, so that calls need only name them.
    pub(crate) async fn load(&mut self) -> Result<(), RedisError> {
        let mut pipeline = redis::pipe();
        for script in scripts::ALL {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text).ignore();
        }
        pipeline.query_async(&mut self.connection).await
    }

    /// Sends `commands` at once; their answers in order.
    pub(crate) async fn send(&self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        let mut connection = self.connection.clone();
        if let [command] = commands {
            return Ok(vec![connection.send_packed_command(command).await?]);
        }
        let mut pipeline = redis::Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        connection.send_packed_commands(&pipeline, 0, commands.len()).await
    }
}

/// `info` as this engine wants it: with pushes among the answers.
pub(crate) fn with_pushes(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_from_what_servers_say() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nmaster_replid:def\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let identity = Identity::read(info).unwrap();
        assert_eq!((identity.primary, identity.version, identity.cluster), (true, (7, 0), false));
        assert_eq!(identity.evicts, None);
        let other = Identity::read(&info.replace("def", "deg").replace("maxmemory:0", "maxmemory:9")).unwrap();
        assert_ne!(identity.life, other.life);
        assert_eq!(other.evicts.as_deref(), Some("allkeys-lru"));
        assert_eq!(Identity::read("role:master"), None);
    }
}
