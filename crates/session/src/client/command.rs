//! What a client may ask for.

use fanfare_bus::{Direction, OnSlow};
use fanfare_model::{Draft, Position, Timestamp, Topic};

use crate::From;

/// A number that the client chose, given back with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

/// A command, and whether a reply is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// With it the client asks for a reply. Without, it hears of errors only.
    pub id: Option<RequestId>,
    /// What to do.
    pub command: Command,
}

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say who it is.
    Connect(Connect),
    /// Begin to receive a topic.
    Subscribe {
        /// Which topic.
        topic: Topic,
        /// Where to begin.
        from: From,
        /// What happens when it falls behind, in place of the policy's choice.
        on_slow: Option<OnSlow>,
    },
    /// Stop receiving a topic.
    Unsubscribe {
        /// Which topic.
        topic: Topic,
    },
    /// Append an event. Its `user` and `source` are the server's to say.
    Publish {
        /// Where.
        topic: Topic,
        /// What.
        draft: Draft,
    },
    /// Read events that are kept.
    History(HistoryQuery),
    /// Go on with a new token.
    Refresh {
        /// The token.
        token: Token,
    },
    /// Ask for a sign of life.
    Ping,
}

/// A credential, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redacted")
    }
}

/// Who a client says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// A token, or an API key for the client door. Without it the client is anonymous, where that is allowed.
    pub token: Option<Token>,
    /// What the client program is called.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// Which events to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of which topic.
    pub topic: Topic,
    /// Where to begin.
    pub anchor: Anchor,
    /// Which way. Without it: away from the anchor, or from old to new.
    pub direction: Option<Direction>,
    /// At most so many events.
    pub limit: Option<usize>,
}

/// Where a read of history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// At the oldest event, or the newest if the direction is backward.
    End,
    /// With the event before this place, going backward.
    Before(Place),
    /// With the event after this place, going forward.
    After(Place),
    /// With the first event appended at or after this time; backward: with the last one before it.
    Since(Timestamp),
    /// With the newest so many events, told from old to new.
    Last(usize),
}

/// A place in a topic's log, as a client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An offset in the log's present life.
    Offset(u64),
    /// A position; refused if it is of another life.
    Position(Position),
}
