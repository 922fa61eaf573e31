//! The limits of the log in memory.

use fanfare_model::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the log in memory may use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How many topics are remembered. Beyond it the ones that hold no events and were idle longest are
    /// forgotten; one that comes back begins a new epoch. Topics that hold events are never forgotten: their
    /// number is bounded by their retention. Default 100000: about 30 MB of heads.
    pub topics_max: usize,
    /// How many event ids of one topic are remembered for idempotency; beyond it the oldest are forgotten
    /// before their window ends. Default 100000: about 10 MB for a topic that is published to 300 times a
    /// second with the default window of five minutes.
    pub ids_per_topic_max: usize,
    /// The most bytes an event may have. Default 16 MiB: an event is copied to every reader, so that what is
    /// larger belongs in a file store, with a link to it in the event.
    pub event_bytes_max: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self { topics_max: 100_000, ids_per_topic_max: 100_000, event_bytes_max: ByteSize::mib(16) }
    }
}

impl Options {
    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("topics_max", self.topics_max as u64),
            ("ids_per_topic_max", self.ids_per_topic_max as u64),
            ("event_bytes_max", self.event_bytes_max.0),
        ] {
            if value == 0 {
                return Err(format!("{key} is 0, so nothing could be published; set it to at least 1"));
            }
        }
        Ok(())
    }
}
