//! What the file of revocations says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Revoked;
use super::table::Table;
use crate::Error;
use crate::state_file::{self, StateFile, VERSION};

pub(crate) type RevocationsFile = StateFile<Content>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u32,
    revocations: Vec<Revoked>,
}

impl Content {
    pub(super) fn of(table: &Table) -> Self {
        Self { revocations: table.all().collect(), ..Self::default() }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::default();
        self.revocations.iter().for_each(|revoked| table.add(revoked));
        table
    }
}

impl Default for Content {
    fn default() -> Self {
        Self { version: VERSION, revocations: Vec::new() }
    }
}

impl state_file::Content for Content {
    fn version(&self) -> u32 {
        self.version
    }

    fn problem(path: PathBuf, problem: String) -> Error {
        Error::RevocationsFile { path, problem }
    }
}
