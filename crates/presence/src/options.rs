//! The limits of presence on a node.

use std::path::PathBuf;

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of presence. How it works in a topic is in the topic's policy (`[topics.<kind>] presence`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where what must be told after a crash is kept: which members are in topics whose policy logs that (`presence.log`).
    /// Without it such members are forgotten together with the process. Not used with engines that keep the members
    /// themselves. Default: below the engine's path, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// In how many topics one session may be a member. Default 100: a client with more is a mistake or an attack.
    pub topics_per_session_max: usize,
    /// How many memberships there may be, in the cluster or in each shard of an engine whose shards lie apart; beyond it
    /// entering is refused as `overloaded`. Default 1000000: about 500 MB.
    pub members_max: usize,
    /// The most members in one page. Default 1000.
    pub page_members_max: usize,
    /// The most bytes of members in one page, and about the most in one difference; one member is always in it. Default
    /// 256 KiB: a page that is told to a client is written in one piece.
    pub page_bytes_max: ByteSize,
    /// How often this node says that it is alive. Default 5 s.
    pub heartbeat: Duration,
    /// How long after its last sign of life a node's members are taken to be gone. Default 15 s: two signs may be lost.
    pub lease: Duration,
    /// How many changes of a shard may wait in the engine for the node that owns the shard; beyond it entering is refused
    /// as `overloaded`. Default 100000: about 50 MB, and far more than are made while another node takes over.
    pub feed_waiting_max: usize,
    /// How many joins and leaves may wait to be logged (`presence.log`) while the log does not take them; beyond it
    /// entering such topics is refused as `overloaded`, and further changes wait in the engine. Default 100000: about 50 MB.
    pub log_waiting_max: usize,
    /// How long entering such a topic waits until the log has the join; after that it is refused as `unavailable`,
    /// although the session is a member and its join is logged later. Default 5 s.
    pub log_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: None,
            topics_per_session_max: 100,
            members_max: 1_000_000,
            page_members_max: 1000,
            page_bytes_max: ByteSize::kib(256),
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            feed_waiting_max: 100_000,
            log_waiting_max: 100_000,
            log_patience: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("topics_per_session_max", self.topics_per_session_max as u64),
            ("members_max", self.members_max as u64),
            ("page_members_max", self.page_members_max as u64),
            ("page_bytes_max", self.page_bytes_max.0),
            ("feed_waiting_max", self.feed_waiting_max as u64),
            ("log_waiting_max", self.log_waiting_max as u64),
        ] {
            if value == 0 {
                return Err(format!("{key} is 0, so nobody could be a member; set it to at least 1"));
            }
        }
        if self.heartbeat.get().is_zero() {
            return Err("heartbeat is 0s; set it to a third of lease, such as \"5s\"".to_owned());
        }
        if self.lease.get() > Duration::from_secs(24 * 3600).get() {
            return Err(format!("lease is {}; set it to at most \"1d\", or the dead stay with the living", self.lease));
        }
        if self.lease.get() < 2 * self.heartbeat.get() {
            return Err(format!(
                "lease ({}) is less than twice heartbeat ({}), so one late sign of life would remove the members of a node; \
                 set lease to three times heartbeat",
                self.lease, self.heartbeat
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_short_lease_is_not() {
        assert_eq!(Options::default().validate(), Ok(()));
        let short = Options { lease: Duration::from_secs(6), ..Options::default() };
        assert!(short.validate().unwrap_err().contains("lease (6s) is less than twice heartbeat (5s)"));
        let none = Options { members_max: 0, ..Options::default() };
        assert!(none.validate().unwrap_err().starts_with("members_max is 0"));
    }
}
