//! Which server is the primary of which partition.

use std::time::Duration;

use redis::{Client, ConnectionInfo, RedisError, Value};

use super::link::{self, Address};
use crate::keys::{Keys, PARTITIONS, Partition};
use crate::options::Mode;

/// The primary of every partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map(Vec<Address>);

impl Map {
    /// One server for everything.
    fn single(address: &Address) -> Self {
        Self(vec![address.clone(); usize::from(PARTITIONS)])
    }

    pub(crate) fn of(&self, partition: Partition) -> &Address {
        &self.0[partition.index()]
    }

    /// Every server, once.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut addresses = self.0.clone();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// The partitions of one server.
    pub(crate) fn partitions_of(&self, address: &Address) -> Vec<Partition> {
        Partition::all().filter(|partition| self.of(*partition) == address).collect()
    }
}

/// Where maps come from.
pub(crate) struct Source {
    pub(crate) mode: Mode,
    /// How to log in at a server; the address is put in.
    pub(crate) server: ConnectionInfo,
    /// The addresses of the configuration.
    pub(crate) seeds: Vec<Address>,
    /// How to log in at a Sentinel.
    pub(crate) sentinel: ConnectionInfo,
    pub(crate) service: String,
    /// How long each may take to answer.
    pub(crate) timeout: Duration,
    pub(crate) client: fn(ConnectionInfo, Option<&[u8]>) -> Result<Client, RedisError>,
    pub(crate) ca: Option<Vec<u8>>,
}

impl Source {
    /// A client for a server.
    pub(crate) fn client_of(&self, address: &Address) -> Result<Client, RedisError> {
        (self.client)(address.put_into(&self.server), self.ca.as_deref())
    }

    /// Asks who is primary now; `known` are servers that may be asked beside those of the configuration.
    pub(crate) async fn resolve(&self, known: &[Address], keys: &Keys) -> Result<Map, RedisError> {
        let mut failed = RedisError::from((redis::ErrorKind::Io, "no server to ask"));
        for address in known.iter().filter(|_| self.mode == Mode::Cluster).chain(&self.seeds) {
            let found = tokio::time::timeout(self.timeout, self.ask(address, keys)).await;
            match found.unwrap_or_else(|_| Err((redis::ErrorKind::Io, "no answer within the time").into())) {
                Ok(map) => return Ok(map),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask(&self, address: &Address, keys: &Keys) -> Result<Map, RedisError> {
        match self.mode {
            Mode::Standalone => {
                let mut connection = link::open(&self.client_of(address)?, self.timeout, None).await?;
                let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
                match role.first() {
                    Some(Value::BulkString(role)) if role == b"master" => Ok(Map::single(address)),
                    _ => {
                        Err((redis::ErrorKind::Io, "the server is a replica; name its primary in engine.redis.urls")
                            .into())
                    }
                }
            }
            Mode::Sentinel => {
                let client = (self.client)(address.put_into(&self.sentinel), self.ca.as_deref())?;
                let mut connection = link::open(&client, self.timeout, None).await?;
                let found: Option<(String, u16)> = redis::cmd("SENTINEL")
                    .arg("GET-MASTER-ADDR-BY-NAME")
                    .arg(&self.service)
                    .query_async(&mut connection)
                    .await?;
                let (host, port) = found.ok_or_else(|| {
                    RedisError::from((
                        redis::ErrorKind::MasterNameNotFoundBySentinel,
                        "the Sentinels do not know engine.redis.service",
                    ))
                })?;
                Ok(Map::single(&Address::new(&host, port)))
            }
            Mode::Cluster => {
                let mut connection = link::open(&self.client_of(address)?, self.timeout, None).await?;
                let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
                of_slots(&slots, address, keys)
            }
        }
    }
}

/// Reads the answer of `CLUSTER SLOTS`: `[first, last, [host, port, …], replicas…]` of each range.
fn of_slots(slots: &[Vec<Value>], said_by: &Address, keys: &Keys) -> Result<Map, RedisError> {
    let mut ranges = Vec::with_capacity(slots.len());
    for range in slots {
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &range[..] else { continue };
        let [host, Value::Int(port), ..] = &primary[..] else { continue };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8_lossy(host).into_owned(),
            _ => said_by.host.to_string(),
        };
        let Ok(port) = u16::try_from(*port) else { continue };
        ranges.push((*first..=*last, Address::new(&host, port)));
    }
    let of = |partition| {
        let slot = i64::from(keys.slot(partition));
        ranges.iter().find(|(range, _)| range.contains(&slot)).map(|(_, address)| address.clone())
    };
    let map: Option<Vec<_>> = Partition::all().map(of).collect();
    map.map(Map).ok_or_else(|| (redis::ErrorKind::Io, "the Cluster has slots without a primary").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_mapped_by_slots() {
        let keys = Keys::new("f");
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, host: Value, port| {
            vec![Value::Int(first), Value::Int(last), Value::Array(vec![host, Value::Int(port), text("id")])]
        };
        let said_by = Address::new("me", 1);
        let whole = [range(0, 8191, text("a"), 1), range(8192, 16383, Value::Nil, 2)];
        let map = of_slots(&whole, &said_by, &keys).unwrap();
        assert_eq!(map.addresses(), [Address::new("a", 1), Address::new("me", 2)]);
        assert_eq!(map.partitions_of(&Address::new("a", 1)).len(), 32);
        assert!(of_slots(&whole[..1], &said_by, &keys).is_err());
    }
}
