//! What a grant may allow.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that may be done with a topic. None implies another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Receive events as they come, and resume after a disconnect.
    Subscribe,
    /// Append events.
    Publish,
    /// Read events that are kept.
    History,
    /// See who is there.
    Presence,
    /// Run live queries.
    Query,
    /// Purge, reset, list sessions and disconnect them, manage API keys.
    Admin,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Subscribe, Self::Publish, Self::History, Self::Presence, Self::Query, Self::Admin];

    /// The name, as in tokens and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::History => "history",
            Self::Presence => "presence",
            Self::Query => "query",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
