//! What a client is told.

use std::sync::Arc;

use fanfare_bus::State;
use fanfare_model::{Event, Gap, Position, SessionId, Topic, UserId};
use fanfare_presence::Members;

use super::Error;
use crate::Goodbye;

/// The code of [`Push::Unsubscribed`] when the credentials do not allow the topic any more.
pub const UNSUBSCRIBED_PERMISSION: (u16, &str) = (2501, "permission ended");
/// The code of [`Push::Unsubscribed`] when the topic's log cannot be read now.
pub const UNAVAILABLE: (u16, &str) = (2502, "unavailable");
/// The code of [`Push::Unsubscribed`] when the application has ended the subscription.
pub const UNSUBSCRIBED_BY_SERVER: (u16, &str) = (2503, "ended by the server");

/// The answer to a request.
#[derive(Debug)]
pub enum Reply {
    /// It was let in. Said without being asked if the credentials came with the handshake.
    Connected {
        /// The session's id.
        session: SessionId,
        /// Its user.
        user: Option<UserId>,
        /// In how many seconds its credentials end.
        expires_in: Option<u64>,
        /// How often, in seconds, the server sends something when there is nothing else to say.
        ping_every: Option<u64>,
        /// A token that brings this session back, on any transport.
        resume: Option<String>,
        /// Whether an earlier session goes on.
        resumed: bool,
    },
    /// It receives a topic.
    Subscribed {
        /// Which topic.
        topic: Topic,
        /// The first event has the position after this one.
        position: Position,
        /// Whether there is something to catch up with.
        state: State,
    },
    /// It does not receive a topic any more, as it wished.
    Unsubscribed {
        /// Which topic.
        topic: Topic,
    },
    /// An event was appended.
    Published {
        /// Where.
        topic: Topic,
        /// Its place.
        position: Position,
        /// Its id.
        event_id: fanfare_model::EventId,
        /// Whether the same id had been appended before, at that place.
        duplicate: bool,
    },
    /// Events that are kept.
    History(HistoryPage),
    /// It is a member of a topic, or is one no more.
    Presence {
        /// Which topic.
        topic: Topic,
        /// The revision as of which it is so.
        rev: u64,
    },
    /// Who is in a topic.
    Members {
        /// Which topic.
        topic: Topic,
        /// A page of them.
        members: Members,
    },
    /// It goes on with new credentials.
    Refreshed {
        /// In how many seconds they end.
        expires_in: Option<u64>,
    },
    /// A sign of life.
    Pong,
    /// It was not done.
    Error(Error),
}

/// A page of history.
#[derive(Debug)]
pub struct HistoryPage {
    /// Which topic.
    pub topic: Topic,
    /// The events, in the order of reading.
    pub events: Vec<Arc<Event>>,
    /// Whether there are more in that direction.
    pub more: bool,
    /// The end of the log: subscribing from here gets what comes next.
    pub position: Position,
    /// The oldest offset that is kept; one after `position`'s if nothing is.
    pub first: u64,
}

/// What a client is told without asking. Events are apart: [`Dialect::event`](super::Dialect::event).
#[derive(Debug, Clone)]
pub enum Push {
    /// It does not get some events.
    Gap {
        /// Of which topic.
        topic: Topic,
        /// Which, and why.
        gap: Gap,
        /// Where the subscription is now.
        position: Position,
    },
    /// The server ended a subscription.
    Unsubscribed {
        /// Of which topic.
        topic: Topic,
        /// 2xxx.
        code: u16,
        /// The code in words.
        reason: &'static str,
    },
    /// Who is in a topic: before the first change that is told, and again when changes were missed.
    Members {
        /// Which topic.
        topic: Topic,
        /// The first page of them.
        members: Members,
    },
    /// A new resume token: the one before ends soon.
    Resume {
        /// The token.
        token: String,
        /// For how many seconds it is good.
        expires_in: u64,
    },
    /// The credentials end soon.
    Expiring {
        /// In how many seconds.
        expires_in: u64,
    },
    /// Something to hear, so that the client knows the connection works.
    Ping,
    /// The session is over.
    Disconnect {
        /// Why, and whether to come back.
        goodbye: Goodbye,
        /// How long to wait before that.
        retry_after: Option<std::time::Duration>,
    },
}
