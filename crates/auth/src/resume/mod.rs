//! Resume tokens: what lets a client that was cut off back in, without its credential and without a store of sessions.

mod content;
mod sealer;

use std::fmt;
use std::path::PathBuf;

use fanfare_model::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use content::{Content, Proof};
pub(crate) use sealer::{Purpose, Sealer};

use crate::Secret;
use crate::key::{check_secret, read_secret};

/// What every resume token begins with, so that it is told from other credentials, and found by scanners of leaked
/// secrets.
pub const PREFIX: &str = "fr1.";

/// The longest window. What a client may do is not looked at again before its next credential, so a window is no place
/// to hide a long life in.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The most keys: each token names its own, but two are enough to change them.
const KEYS_MAX: usize = 16;

/// The `[auth.resume]` section: how clients that were cut off come back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resume {
    /// How long after it was made a resume token lets its client back in. Default 120s: longer than a tunnel or a
    /// change of networks, short enough that a stolen one is soon worthless. `0s` turns resuming off.
    pub window: Duration,
    /// Secrets that resume tokens are sealed with, at least 32 random bytes each (`openssl rand -hex 32`): the same
    /// on every node. The first seals, all open; so a new one goes last, then first, then the old one goes.
    /// Default: none; then one is drawn, which the embedded engine keeps in `<engine.path>/resume.key`, and the memory
    /// engine only until the process ends. Where nodes share an engine they must be set. Tickets are sealed with them there, too.
    pub keys: Vec<Secret>,
    /// Files that hold such secrets, after those in `keys`; line breaks at their ends do not count. Default: none.
    pub key_files: Vec<PathBuf>,
}

impl Default for Resume {
    fn default() -> Self {
        Self { window: Duration::from_secs(120), keys: Vec::new(), key_files: Vec::new() }
    }
}

impl Resume {
    /// Checks what can be checked without reading the files it names. The text names the key and the fix.
    pub(crate) fn validate(&self, shared: bool) -> Result<(), String> {
        if self.window > WINDOW_MAX {
            return Err(format!("auth.resume.window is {}; it may be at most {WINDOW_MAX}", self.window));
        }
        let keys = self.keys.len() + self.key_files.len();
        if shared && keys == 0 {
            return Err("auth.resume.keys is empty, and nodes share this engine, so a client could not resume or use a \
                        ticket on another node than the one that gave it out; set auth.resume.keys (or key_files) to the \
                        same secret on every node, such as the output of `openssl rand -hex 32`"
                .to_owned());
        }
        if keys > KEYS_MAX {
            return Err(format!("auth.resume has {keys} keys; it may have at most {KEYS_MAX}"));
        }
        Ok(())
    }

    /// The secrets, the sealing one first; none if none is configured.
    pub(crate) fn secrets(&self, dev: bool) -> Result<Vec<String>, String> {
        let mut secrets = Vec::new();
        for (index, secret) in self.keys.iter().enumerate() {
            check_secret(secret.reveal().as_bytes(), dev)
                .map_err(|problem| format!("auth.resume.keys[{index}] {problem}"))?;
            secrets.push(secret.reveal().to_owned());
        }
        for (index, path) in self.key_files.iter().enumerate() {
            let secret = read_secret(path).and_then(|secret| check_secret(secret.as_bytes(), dev).map(|()| secret));
            secrets.push(secret.map_err(|problem| format!("auth.resume.key_files[{index}] {problem}"))?);
        }
        Ok(secrets)
    }
}

/// A resume token that was just made.
#[derive(Clone)]
pub struct Sealed {
    /// The token, `fr1.…`. It stands for the session: whoever has it may go on with it.
    pub text: String,
    /// For how long it lets its client in: the window, or until the credential itself ends.
    pub expires_in: std::time::Duration,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
