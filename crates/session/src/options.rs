//! Limits and times of client sessions, for every protocol.

use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The most sessions on this node; beyond it a new one is told to come back. 100,000 idle ones take well under
    /// a gigabyte.
    pub sessions_max: usize,
    /// The most sessions of one user on this node: room for many tabs and devices, not for a leak.
    pub sessions_per_user_max: usize,
    /// The most subscriptions of one session. Others allow 100 to 128; what needs more wants a pattern.
    pub subscriptions_max: usize,
    /// How long a session stays silent before the server pings. Below the 30 to 60 s after which common proxies
    /// close an idle connection. `"0s"` for never.
    pub ping_interval: Duration,
    /// A session is ended, to come back at once, when it is about this old (each at 80 to 100 % of it), so that a
    /// restart finds few old ones and load spreads over new nodes. `"0s"` for never.
    pub age_max: Duration,
    /// Over how long sessions are sent away when the node stops. Set by the owner, from the section `drain`.
    #[serde(skip)]
    pub drain_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sessions_max: 100_000,
            sessions_per_user_max: 1000,
            subscriptions_max: 128,
            ping_interval: Duration::from_secs(25),
            age_max: Duration::from_secs(0),
            drain_window: Duration::from_secs(20),
        }
    }
}
