//! What a client may ask for.

use fanfare_bus::{Direction, OnSlow};
use fanfare_model::{Draft, Position, Timestamp, Topic};
use serde_json::value::RawValue;

use super::Continuation;
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
    Subscribe(Subscribe),
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
    /// Be in a topic, or see who is.
    Presence {
        /// Which topic.
        topic: Topic,
        /// What to do.
        act: PresenceAct,
    },
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
    /// A resume token, in its place: the session that it was given to goes on.
    pub resume: Option<Token>,
    /// Every topic of this is subscribed to, from there.
    pub cursor: Option<Continuation>,
    /// What the client program is called.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// What to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Which topic.
    pub topic: Topic,
    /// Where to begin.
    pub from: From,
    /// What happens when it falls behind, in place of the policy's choice.
    pub on_slow: Option<OnSlow>,
    /// Whether it is also told who is there.
    pub presence: bool,
}

impl Subscribe {
    /// To receive `topic` from `from` on, as its policy says.
    pub fn new(topic: Topic, from: From) -> Self {
        Self { topic, from, on_slow: None, presence: false }
    }
}

/// What to do about who is in a topic.
#[derive(Debug, Clone)]
pub enum PresenceAct {
    /// Become a member, or replace what one says of oneself.
    Enter(Option<Box<RawValue>>),
    /// Change what one says of oneself: a JSON merge patch (RFC 7396).
    Update(Box<RawValue>),
    /// Be a member no more.
    Leave,
    /// Read who is there.
    Read {
        /// The `next` of the page before.
        after: Option<String>,
        /// At most so many.
        limit: Option<usize>,
    },
}

impl PartialEq for PresenceAct {
    /// JSON is compared as it is written.
    fn eq(&self, other: &Self) -> bool {
        let text = |json: &Option<Box<RawValue>>| json.as_deref().map(|json| json.get().to_owned());
        match (self, other) {
            (Self::Enter(ours), Self::Enter(theirs)) => text(ours) == text(theirs),
            (Self::Update(ours), Self::Update(theirs)) => ours.get() == theirs.get(),
            (Self::Leave, Self::Leave) => true,
            (Self::Read { after, limit }, Self::Read { after: other_after, limit: other_limit }) => {
                after == other_after && limit == other_limit
            }
            _ => false,
        }
    }
}

impl Eq for PresenceAct {}

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
