//! The section `drain`.

use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the process stops after SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DrainOptions {
    /// Clients are sent away spread over this time, so that they do not all come back at once. Default 20 s:
    /// shorter than the 30 s that Kubernetes waits.
    pub window: Duration,
    /// How much longer connections may take to end before they are cut. Default 5 s.
    pub grace: Duration,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self { window: Duration::from_secs(20), grace: Duration::from_secs(5) }
    }
}

impl DrainOptions {
    /// Checks what types cannot. The error names the key (within this section) and the fix.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.window > Duration::from_secs(3600) {
            return Err(format!("window: {} is longer than an hour; write e.g. \"20s\"", self.window));
        }
        Ok(())
    }
}
