//! Which side of the server a credential is shown at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A side of the server. Client doors and server doors never share an audience, so a token made for a
/// browser is useless at the publishing API even if its port can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Where end users connect: SSE, WebSocket.
    #[default]
    Client,
    /// Where backends call: the HTTP API.
    Server,
}

impl Door {
    /// Both doors.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];

    /// The name, as in the configuration and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}
