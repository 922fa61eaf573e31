//! The scripts that servers run: each is one step that nobody else can come between.

use std::sync::OnceLock;

use redis::{Cmd, ToRedisArgs};

/// A script and its name at the servers.
pub(crate) struct Script {
    pub(crate) text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    const fn new(text: &'static str) -> Self {
        Self { text, hash: OnceLock::new() }
    }

    /// A call of the script; arguments that are not keys are to be added.
    pub(crate) fn with<K: ToRedisArgs>(&self, keys: &[K]) -> Cmd {
        let hash = self.hash.get_or_init(|| redis::Script::new(self.text).get_hash().to_owned());
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        command
    }
}

pub(crate) static PUBLISH: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/publish.lua")));
pub(crate) static HEADS: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/heads.lua")));
pub(crate) static READ: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/read.lua")));
pub(crate) static PURGE: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/purge.lua")));
pub(crate) static SWEEP: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/sweep.lua")));
pub(crate) static LEASE: Script = Script::new(include_str!("scripts/lease.lua"));
pub(crate) static CURSOR_SWAP: Script = Script::new(include_str!("scripts/cursor_swap.lua"));
pub(crate) static CURSOR_LIST: Script = Script::new(include_str!("scripts/cursor_list.lua"));
pub(crate) static PRESENCE: Script = Script::new(include_str!("scripts/presence.lua"));
pub(crate) static SESSIONS: Script = Script::new(include_str!("scripts/sessions.lua"));
pub(crate) static RESTORE: Script =
    Script::new(concat!(include_str!("scripts/log.lua"), include_str!("scripts/restore.lua")));

/// Every script, for a server that has none yet.
pub(crate) static ALL: [&Script; 11] =
    [&PUBLISH, &HEADS, &READ, &PURGE, &SWEEP, &LEASE, &CURSOR_SWAP, &CURSOR_LIST, &PRESENCE, &SESSIONS, &RESTORE];
