//! Replies, pushes and events.

use std::sync::Arc;

use fanfare_bus::State;
use fanfare_model::{Event, Topic};
use fanfare_presence::Diff;
use fanfare_proto::v1::{self, server_frame::What};
use fanfare_session::client::{Error, HistoryPage, Push, Reply, RequestId};
use prost::Message as _;

use crate::presence;

/// A frame, with `room` bytes in front for what a transport puts there.
pub fn encode(frame: &v1::ServerFrame, room: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(room + frame.encoded_len());
    buffer.resize(room, 0);
    frame.encode_raw(&mut buffer);
    buffer
}

fn frame(what: What) -> v1::ServerFrame {
    v1::ServerFrame { id: 0, what: Some(what), cursor: String::new() }
}

/// An event for whoever listens.
pub fn event(event: &Event) -> v1::ServerFrame {
    frame(What::Event(event.into()))
}

/// A signal about `topic`: an event of its companion. `None` if it is of a kind that clients are not told of.
pub fn signal(topic: &Topic, event: &Event) -> Option<v1::ServerFrame> {
    Diff::of(event).map(|diff| frame(What::PresenceDiff(presence::diff(topic, &diff))))
}

/// The answer to a request.
pub fn reply(id: Option<RequestId>, reply: &Reply) -> v1::ServerFrame {
    let what = match reply {
        Reply::Connected { session, user, expires_in, ping_every, resume, resumed } => What::Connected(v1::Connected {
            session: session.as_str().to_owned(),
            user: user.as_ref().map(|user| user.as_str().to_owned()).unwrap_or_default(),
            expires_in: *expires_in,
            ping_every: ping_every.unwrap_or(0),
            resume: resume.clone().unwrap_or_default(),
            resumed: *resumed,
        }),
        Reply::Subscribed { topic, position, state } => What::Subscribed(v1::Subscribed {
            topic: topic.as_str().to_owned(),
            position: position.to_string(),
            replaying: *state == State::Replaying,
        }),
        Reply::Unsubscribed { topic } => {
            What::Unsubscribed(v1::Unsubscribed { topic: topic.as_str().to_owned(), code: 0, reason: String::new() })
        }
        Reply::Published { topic, position, event_id, duplicate } => What::Published(v1::Published {
            topic: topic.as_str().to_owned(),
            position: position.to_string(),
            offset: position.offset,
            event_id: event_id.as_str().to_owned(),
            duplicate: *duplicate,
        }),
        Reply::History(page) => What::History(history(page)),
        Reply::Presence { topic, rev } => What::Presence(v1::PresenceState {
            topic: topic.as_str().to_owned(),
            rev: *rev,
            ..v1::PresenceState::default()
        }),
        Reply::Members { topic, members } => What::Presence(presence::state(topic, members)),
        Reply::Refreshed { expires_in } => What::Refreshed(v1::Refreshed { expires_in: *expires_in }),
        Reply::Pong => What::Pong(v1::Pong {}),
        Reply::Error(error) => What::Error(self::error(error)),
    };
    v1::ServerFrame { id: id.map_or(0, |RequestId(id)| id), ..frame(what) }
}

/// A page of history.
pub fn history(page: &HistoryPage) -> v1::History {
    v1::History {
        topic: page.topic.as_str().to_owned(),
        events: page.events.iter().map(Arc::as_ref).map(v1::Event::from).collect(),
        more: page.more,
        position: page.position.to_string(),
        first: page.first,
    }
}

fn error(error: &Error) -> v1::Error {
    v1::Error { code: error.code().to_owned(), message: error.to_string(), retryable: error.retryable() }
}

/// Something that was not asked for.
pub fn push(push: &Push) -> v1::ServerFrame {
    frame(match push {
        Push::Gap { topic, gap, position } => What::Gap(v1::Gap::new(topic, *gap, *position)),
        Push::Unsubscribed { topic, code, reason } => What::Unsubscribed(v1::Unsubscribed {
            topic: topic.as_str().to_owned(),
            code: u32::from(*code),
            reason: (*reason).to_owned(),
        }),
        Push::Members { topic, members } => What::Presence(presence::state(topic, members)),
        Push::Resume { token, expires_in } => {
            What::Resume(v1::Resume { token: token.clone(), expires_in: *expires_in })
        }
        Push::Expiring { expires_in } => What::Expiring(v1::Expiring { expires_in: *expires_in }),
        Push::Ping => What::Ping(v1::Ping {}),
        Push::Disconnect { goodbye, retry_after } => What::Disconnect(v1::Disconnect {
            code: u32::from(goodbye.code()),
            reason: goodbye.reason().to_owned(),
            reconnect: goodbye.reconnect(),
            retry_after_ms: retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }),
    })
}
