//! What is kept of a topic, and how surely.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What "acknowledged" means for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Ordered in memory; written afterwards. A crash of the process may lose the latest events.
    None,
    /// Handed to the operating system: survives a crash of the process, not of the machine.
    Buffered,
    /// On the disk, with one `fdatasync` for all events that wait for it.
    #[default]
    Committed,
}

/// What is kept of one topic. Resolved from its kind's policy by whoever publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// At most so many events; older ones are trimmed. `None`: no bound by count.
    pub events_max: Option<u64>,
    /// At most so many bytes ([`fanfare_model::Draft::size`]). `None`: no bound by size.
    pub bytes_max: Option<u64>,
    /// Events older than this are not read any more and are removed. `None`: no bound by age.
    pub age_max: Option<std::time::Duration>,
    /// When an append is acknowledged and announced.
    pub durability: Durability,
    /// For how long a second append of the same event id returns the first position.
    pub idempotency_window: std::time::Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            events_max: Some(1000),
            bytes_max: None,
            age_max: Some(std::time::Duration::from_secs(24 * 3600)),
            durability: Durability::default(),
            idempotency_window: std::time::Duration::from_secs(300),
        }
    }
}
