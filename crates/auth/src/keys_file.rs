//! What the file of API keys says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fanfare_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state_file::{self, StateFile, VERSION};
use crate::{ApiKey, Error};

pub(crate) type KeysFile = StateFile<Content>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u32,
    pub(crate) keys: Vec<ApiKey>,
    /// When keys were revoked, by id; also keys of the configuration.
    pub(crate) revoked: BTreeMap<String, Revoked>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoked {
    #[serde(with = "crate::timestamp_text")]
    pub(crate) at: Option<Timestamp>,
}

impl Default for Content {
    fn default() -> Self {
        Self { version: VERSION, keys: Vec::new(), revoked: BTreeMap::new() }
    }
}

impl state_file::Content for Content {
    fn version(&self) -> u32 {
        self.version
    }

    fn problem(path: PathBuf, problem: String) -> Error {
        Error::KeysFile { path, problem }
    }
}
