//! Limits of consumers.

use std::path::PathBuf;

use fanfare_bus::Durability;
use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a consumer begins that was never seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// With the oldest event that is kept.
    #[default]
    Start,
    /// With the next event.
    Now,
}

/// Limits of named consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The directory of the store, made if it is not there. Set by the owner, next to the log. Default `./data/consumers`.
    #[serde(skip)]
    pub path: PathBuf,
    /// Where a consumer begins that was never seen before and was not sent somewhere: `start` or `now`. Default `start`,
    /// because what was published before the first worker came up is work too.
    pub begin: Begin,
    /// When an acknowledgement is answered: `committed` (it is on the disk) or `buffered` (it survives the process).
    /// Default `committed`, because what was confirmed as done must not come again after a power cut.
    pub durability: Durability,
    /// The most consumers a tenant may have; a consumer of two topics counts twice. Default 10000: about 2 MB of store.
    pub consumers_max: usize,
    /// The most leases of one consumer that may be out or wait to be given out again; a pull beyond gets nothing new.
    /// Default 1000: far more workers than share one topic, and 50 KB of state.
    pub leases_max: usize,
    /// The most callers that may wait for events of one consumer at the same time. Default 100.
    pub pullers_max: usize,
    /// The most events of one lease; a pull that asks for more gets so many. Default 1000.
    pub events_max: usize,
    /// The most bytes of one lease, passed by its last event at most. Default 1 MiB, so that with an event of the default
    /// largest size the answer stays below the 4 MiB that gRPC clients accept.
    pub bytes_max: ByteSize,
    /// The longest a pull may wait for events. Default 30s: below the 60 s after which proxies cut idle requests.
    pub wait_max: Duration,
    /// The longest time a lease may be given at once; it can be extended as often as needed. Default 1h: a worker that
    /// died is noticed within that.
    pub lease_max: Duration,
    /// The longest delay that a release may ask for. Default 12h.
    pub retry_after_max: Duration,
    /// How often an event is given out before it goes to the dead-letter topic of its policy; the last time it comes
    /// alone, so that its neighbours do not share its fate. Events of topics without a dead-letter topic are given out
    /// for ever. `0` for ever in any case. Default 20.
    pub deliveries_max: u32,
    /// How much may wait for the store; beyond it calls are refused as overloaded. Default 4096: a second of work.
    pub queue_max: usize,
    /// How long after a failure (a full disk) the store is opened again at the earliest; until then calls are refused at
    /// once. Default 1s: soon enough for a person who has just freed space, rare enough to not burden a sick disk.
    pub retry_every: Duration,
    /// Memory for blocks read from the disk. Default 8 MiB: a consumer takes about 200 bytes.
    pub cache_bytes: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data/consumers"),
            begin: Begin::default(),
            durability: Durability::Committed,
            consumers_max: 10_000,
            leases_max: 1000,
            pullers_max: 100,
            events_max: 1000,
            bytes_max: ByteSize::mib(1),
            wait_max: Duration::from_secs(30),
            lease_max: Duration::from_secs(3600),
            retry_after_max: Duration::from_secs(12 * 3600),
            deliveries_max: 20,
            queue_max: 4096,
            retry_every: Duration::from_secs(1),
            cache_bytes: ByteSize::mib(8),
        }
    }
}

impl Options {
    /// Whether the values make sense; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("consumers_max", self.consumers_max),
            ("leases_max", self.leases_max),
            ("pullers_max", self.pullers_max),
            ("events_max", self.events_max),
            ("bytes_max", self.bytes_max.as_usize()),
            ("queue_max", self.queue_max),
        ] {
            if value == 0 {
                return Err(format!("{key} is 0, so that nothing could pass; set it to at least 1"));
            }
        }
        if self.lease_max.get().is_zero() {
            return Err("lease_max is 0s, so that every lease would end at once; set it to e.g. \"1h\"".to_owned());
        }
        if self.durability == Durability::None {
            return Err("durability is \"none\"; set it to \"committed\" or \"buffered\"".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_mistakes_name_their_key() {
        Options::default().validate().unwrap();
        for (json, key) in [
            (r#"{"leases_max":0}"#, "leases_max"),
            (r#"{"lease_max":"0s"}"#, "lease_max"),
            (r#"{"durability":"none"}"#, "durability"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            assert!(options.validate().unwrap_err().starts_with(key));
        }
    }
}
