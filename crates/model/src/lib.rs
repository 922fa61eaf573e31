//! The nouns of Fanfare (`docs/`, design section 2) as types that cannot hold a bad value.
//!
//! What this crate is not: it does no IO, knows no transport and no async runtime. Whoever holds one
//! of these values may rely on its rules having been checked; whoever makes one from outside bytes
//! gets an [`Invalid`] that says what was wrong and what is allowed.
//!
//! Reading order: [`Topic`] and [`TopicKey`], [`Event`] and [`Draft`], [`Position`] and [`Cursor`],
//! [`From`](StartFrom), [`Gap`], [`Kind`].

mod clock;
mod cursor;
mod event;
mod gap;
mod kind;
mod names;
mod position;
mod schema;
mod size;
mod start;
mod text;
mod time;
mod topic;

pub mod json;

pub use clock::{Clock, ManualClock, SystemClock};
pub use cursor::{Cursor, TopicTag};
pub use event::{Data, DataKind, Draft, Event, HEADERS_BYTES_MAX, HEADERS_COUNT_MAX, Headers, JSON_DEPTH_MAX};
pub use gap::{Gap, GapReason};
pub use kind::Kind;
pub use names::{EventId, EventName, Key, Schema, SessionId, Source, Tenant, UserId};
pub use position::{Epoch, Position, Tag};
pub use size::ByteSize;
pub use start::StartFrom;
pub use text::Invalid;
pub use time::{Duration, Timestamp};
pub use topic::{Topic, TopicKey};
