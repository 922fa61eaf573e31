//! The section `engine`.

use std::path::PathBuf;

use fanfare_history::{embedded, memory};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where logs are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineOptions {
    /// `embedded` (default: in a directory of this machine) or `memory` (forgets everything at the stop).
    pub kind: EngineKind,
    /// The directory of this node: the embedded engine's log is in `store` below it, beside that what consumers and
    /// presence keep, the key that seals resume tokens, and the development secret. Default `./data`.
    pub path: PathBuf,
    /// Limits of the memory engine, which also orders the topics that keep no history.
    pub memory: memory::Options,
    /// Limits of the embedded engine.
    pub embedded: embedded::Options,
}

/// The engines of this build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineKind {
    /// In memory; everything is forgotten at the stop.
    Memory,
    /// In a directory of this machine.
    #[default]
    Embedded,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let path = PathBuf::from("./data");
        let embedded = embedded::Options::at(path.join(STORE));
        Self { kind: EngineKind::default(), path, memory: memory::Options::default(), embedded }
    }
}

/// The store wants a directory of its own.
const STORE: &str = "store";

impl EngineOptions {
    /// Puts the store into the node's directory.
    pub(super) fn adapt(&mut self) {
        self.embedded.path = self.path.join(STORE);
    }
}
