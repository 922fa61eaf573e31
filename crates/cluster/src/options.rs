//! How nodes know of each other.

use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `cluster`: how nodes know of each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The node's name in lists and logs; two nodes may have the same. Default: the name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often this node says that it is alive, and looks who else is. Default 5 s.
    pub heartbeat: Duration,
    /// How long after its last sign of life a node counts as gone, and others take over what it owned. Default 15 s: two
    /// signs may be lost.
    pub lease: Duration,
    /// How long an administrator's request that concerns all nodes waits for their answers; the answer says how many came.
    /// Default 2 s: far more than nodes take, and less than who asks waits.
    pub patience: Duration,
    /// How many questions of other nodes this node works on at once; beyond it they go unanswered. Default 64.
    pub questions_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            patience: Duration::from_secs(2),
            questions_max: 64,
        }
    }
}

impl Options {
    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.heartbeat.get() < Duration::from_millis(100).get() {
            return Err(format!("heartbeat is {}; set it to at least \"100ms\", such as \"5s\"", self.heartbeat));
        }
        if self.lease.get() < 2 * self.heartbeat.get() || self.lease.get() < Duration::from_secs(1).get() {
            return Err(format!(
                "lease ({}) is less than twice heartbeat ({}) or than a second, so one late sign of life would make a node \
                 lose all it owns; set lease to three times heartbeat",
                self.lease, self.heartbeat
            ));
        }
        if self.lease.get() > Duration::from_secs(3600).get() {
            return Err(format!(
                "lease is {}; set it to at most \"1h\", or nobody takes over from the dead",
                self.lease
            ));
        }
        if self.patience.get().is_zero() {
            return Err("patience is 0s, so no other node could answer; set it to \"2s\"".to_owned());
        }
        if self.questions_max == 0 {
            return Err("questions_max is 0, so this node would answer no other; set it to at least 1".to_owned());
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
        let deaf = Options { questions_max: 0, ..Options::default() };
        assert!(deaf.validate().unwrap_err().starts_with("questions_max is 0"));
    }
}
