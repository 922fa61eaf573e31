//! Replies and pushes as JSON, each a whole WebSocket frame.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use fanfare_bus::State;
use fanfare_model::json::{write_event, write_string};
use fanfare_model::{Event, Topic};
use fanfare_presence::json::{write_diff, write_members};
use fanfare_session::client::{HistoryPage, Push, Reply, RequestId};
use serde_json::json;

use crate::frame::{HEADER_ROOM, Opcode, finish};

/// A frame of `{"id":…,"<name>":<body>}`.
fn frame(id: Option<RequestId>, name: &str, body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = Vec::with_capacity(256);
    buffer.resize(HEADER_ROOM, 0);
    buffer.push(b'{');
    if let Some(RequestId(id)) = id {
        write!(buffer, "\"id\":{id},").expect("a Vec grows");
    }
    write!(buffer, "\"{name}\":").expect("a Vec grows");
    body(&mut buffer);
    buffer.push(b'}');
    finish(Opcode::Text, buffer)
}

/// Writes an object without the members that are null.
fn object(value: serde_json::Value) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        let mut value = value;
        if let Some(members) = value.as_object_mut() {
            members.retain(|_, member| !member.is_null());
        }
        write!(out, "{value}").expect("a Vec grows");
    }
}

pub(super) fn reply(id: Option<RequestId>, reply: &Reply) -> Bytes {
    match reply {
        Reply::Connected { session, user, expires_in, ping_every, resume, resumed } => frame(
            id,
            "connected",
            object(json!({
                "session": session,
                "user": user,
                "expires_in": expires_in,
                "ping_every": ping_every,
                "resume": resume,
                "resumed": resumed.then_some(true),
            })),
        ),
        Reply::Subscribed { topic, position, state } => {
            let state = match state {
                State::Live => "live",
                State::Replaying => "replaying",
            };
            frame(id, "subscribed", object(json!({ "topic": topic, "position": position, "state": state })))
        }
        Reply::Unsubscribed { topic } => frame(id, "unsubscribed", object(json!({ "topic": topic }))),
        Reply::Published { topic, position, event_id, duplicate } => frame(
            id,
            "published",
            object(json!({
                "topic": topic,
                "position": position,
                "offset": position.offset,
                "event_id": event_id,
                "duplicate": duplicate,
            })),
        ),
        Reply::History(page) => frame(id, "history", |out| history(page, out)),
        Reply::Presence { topic, rev } => frame(id, "presence", object(json!({ "topic": topic, "rev": rev }))),
        Reply::Members { topic, members } => frame(id, "presence", |out| write_members(topic, members, out)),
        Reply::Refreshed { expires_in } => frame(id, "refreshed", object(json!({ "expires_in": expires_in }))),
        Reply::Pong => frame(id, "pong", object(json!({}))),
        Reply::Error(error) => frame(
            id,
            "error",
            object(json!({
                "code": error.code(),
                "message": error.to_string(),
                "retryable": error.retryable(),
                "retry_after_ms": error.retry_after().map(millis),
            })),
        ),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Something about who is in a topic, of a companion's signal.
pub(super) fn signal(topic: &Topic, event: &Event) -> Bytes {
    frame(None, "presence", |out| write_diff(topic, event, out))
}

fn history(page: &HistoryPage, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    write_string(page.topic.as_str(), out);
    let (position, first, more) = (page.position, page.first, page.more);
    write!(out, ",\"position\":\"{position}\",\"first\":{first},\"more\":{more},\"events\":[").expect("a Vec grows");
    for (at, event) in page.events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_event(event, out);
    }
    out.extend_from_slice(b"]}");
}

pub(super) fn push(push: &Push) -> Bytes {
    match push {
        Push::Gap { topic, gap, position } => frame(
            None,
            "gap",
            object(json!({
                "topic": topic,
                "from": gap.from,
                "to": gap.to,
                "reason": gap.reason,
                "position": position,
            })),
        ),
        Push::Unsubscribed { topic, code, reason } => {
            frame(None, "unsubscribed", object(json!({ "topic": topic, "code": code, "reason": reason })))
        }
        Push::Members { topic, members } => frame(None, "presence", |out| write_members(topic, members, out)),
        Push::Resume { token, expires_in } => {
            frame(None, "resume", object(json!({ "token": token, "expires_in": expires_in })))
        }
        Push::Expiring { expires_in } => frame(None, "expiring", object(json!({ "expires_in": expires_in }))),
        Push::Ping => {
            static FRAME: OnceLock<Bytes> = OnceLock::new();
            FRAME.get_or_init(|| frame(None, "ping", object(json!({})))).clone()
        }
        Push::Disconnect { goodbye, retry_after } => frame(
            None,
            "disconnect",
            object(json!({
                "code": goodbye.code(),
                "reason": goodbye.reason(),
                "reconnect": goodbye.reconnect(),
                "retry_after_ms": retry_after.map(millis),
            })),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfare_model::{
        Data, Draft, Epoch, EventId, EventName, Gap, GapReason, Position, SessionId, Tag, Tenant, Timestamp, TopicKey,
        UserId,
    };
    use fanfare_presence::Members;
    use fanfare_session::Goodbye;
    use fanfare_session::client::Error;

    use super::*;

    /// The text of a frame whose header is right.
    fn text(frame: &Bytes) -> String {
        let payload = match (frame[0], frame[1]) {
            (0x81, 126) => &frame[4..],
            (0x81, length) => {
                assert_eq!(usize::from(length), frame.len() - 2);
                &frame[2..]
            }
            other => panic!("{other:?}"),
        };
        String::from_utf8(payload.to_vec()).unwrap()
    }

    fn check(frame: &Bytes, expected: &serde_json::Value) {
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text(frame)).unwrap(), *expected);
    }

    fn position(offset: u64) -> Position {
        Position { epoch: Epoch::from_u32(7).unwrap(), offset, tag: Tag::from_u16(9) }
    }

    fn topic() -> Topic {
        Topic::new("chat:42").unwrap()
    }

    #[test]
    fn replies_as_specified() {
        let id = Some(RequestId(3));
        check(
            &reply(
                id,
                &Reply::Connected {
                    session: SessionId::new("s").unwrap(),
                    user: Some(UserId::new("alice").unwrap()),
                    expires_in: Some(120),
                    ping_every: Some(25),
                    resume: Some("fr1.x".to_owned()),
                    resumed: true,
                },
            ),
            &json!({"id":3,"connected":{
                "session":"s","user":"alice","expires_in":120,"ping_every":25,"resume":"fr1.x","resumed":true,
            }}),
        );
        let anonymous = Reply::Connected {
            session: SessionId::new("s").unwrap(),
            user: None,
            expires_in: None,
            ping_every: None,
            resume: None,
            resumed: false,
        };
        check(&reply(None, &anonymous), &json!({"connected":{"session":"s"}}));
        check(
            &reply(id, &Reply::Subscribed { topic: topic(), position: position(17), state: State::Replaying }),
            &json!({"id":3,"subscribed":{"topic":"chat:42","position":"7.17.009","state":"replaying"}}),
        );
        check(&reply(id, &Reply::Unsubscribed { topic: topic() }), &json!({"id":3,"unsubscribed":{"topic":"chat:42"}}));
        let event_id = EventId::new("e").unwrap();
        check(
            &reply(id, &Reply::Published { topic: topic(), position: position(18), event_id, duplicate: false }),
            &json!({"id":3,"published":{"topic":"chat:42","position":"7.18.009","offset":18,"event_id":"e","duplicate":false}}),
        );
        check(
            &reply(id, &Reply::Presence { topic: topic(), rev: 9 }),
            &json!({"id":3,"presence":{"topic":"chat:42","rev":9}}),
        );
        check(&reply(id, &Reply::Refreshed { expires_in: Some(5) }), &json!({"id":3,"refreshed":{"expires_in":5}}));
        check(&reply(None, &Reply::Pong), &json!({"pong":{}}));
        check(
            &reply(id, &Reply::Error(Error::TooFast(50))),
            &json!({"id":3,"error":{"code":"rate_limited","message":"commands come faster than 50 a second","retryable":true}}),
        );
    }

    #[test]
    fn history_is_an_array_of_events() {
        let event = Event {
            topic: TopicKey::new(Tenant::default(), topic()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 18,
            prev: 17,
            time: Timestamp::from_micros(5),
            draft: Draft { id: EventId::new("e").unwrap(), ..Draft::new(Data::json("[1]").unwrap()) },
        };
        let at = event.position().to_string();
        let events = vec![Arc::new(event.clone()), Arc::new(event)];
        let page = HistoryPage { topic: topic(), events, more: true, position: position(20), first: 3 };
        let shown = json!({"topic":"chat:42","position":at,"offset":18,"id":"e","time":5,"data":[1]});
        check(
            &reply(Some(RequestId(4)), &Reply::History(page)),
            &json!({"id":4,"history":{"topic":"chat:42","position":"7.20.009","first":3,"more":true,"events":[shown, shown]}}),
        );
    }

    #[test]
    fn a_signal_is_about_its_topic() {
        let data = Data::json(r#"{"prev":7,"rev":9,"count":1,"leave":[{"id":"s","since":5}]}"#).unwrap();
        let event = Event {
            topic: TopicKey::new(Tenant::default(), topic().signals()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset: 1,
            prev: 0,
            time: Timestamp::from_micros(5),
            draft: Draft { name: Some(EventName::new("presence").unwrap()), ..Draft::new(data) },
        };
        check(
            &signal(&topic(), &event),
            &json!({"presence":{"topic":"chat:42","prev":7,"rev":9,"count":1,"leave":[{"id":"s","since":5}]}}),
        );
    }

    #[test]
    fn pushes_as_specified() {
        let gap = Gap { from: 18, to: 25, reason: GapReason::Trimmed };
        check(
            &push(&Push::Gap { topic: topic(), gap, position: position(25) }),
            &json!({"gap":{"topic":"chat:42","from":18,"to":25,"reason":"trimmed","position":"7.25.009"}}),
        );
        check(
            &push(&Push::Unsubscribed { topic: topic(), code: 2501, reason: "permission ended" }),
            &json!({"unsubscribed":{"topic":"chat:42","code":2501,"reason":"permission ended"}}),
        );
        let member = serde_json::from_value(json!({"id":"s","user":"alice","since":5})).unwrap();
        let members = Members { rev: 7, count: 2, members: vec![Arc::new(member)], ..Members::default() };
        let shown = json!({"topic":"chat:42","rev":7,"count":2,"members":[{"id":"s","user":"alice","since":5}]});
        check(&push(&Push::Members { topic: topic(), members: members.clone() }), &json!({ "presence": shown }));
        check(
            &reply(Some(RequestId(5)), &Reply::Members { topic: topic(), members }),
            &json!({ "id": 5, "presence": shown }),
        );
        check(
            &push(&Push::Resume { token: "fr1.x".to_owned(), expires_in: 120 }),
            &json!({"resume":{"token":"fr1.x","expires_in":120}}),
        );
        check(&push(&Push::Expiring { expires_in: 30 }), &json!({"expiring":{"expires_in":30}}));
        check(&push(&Push::Ping), &json!({"ping":{}}));
        let retry_after = Some(Duration::from_millis(1834));
        check(
            &push(&Push::Disconnect { goodbye: Goodbye::Draining, retry_after }),
            &json!({"disconnect":{"code":3001,"reason":"draining","reconnect":true,"retry_after_ms":1834}}),
        );
        check(
            &push(&Push::Disconnect { goodbye: Goodbye::Revoked, retry_after: None }),
            &json!({"disconnect":{"code":4003,"reason":"revoked","reconnect":false}}),
        );
    }
}
