//! The protobuf frames of `fanfare.v1` as the JSON that they stand for, so that a test is written once for both.

use bytes::Bytes;
use fanfare_proto::v1::{
    self, client_frame::Command, event, from::Start, message, presence_command::Act, server_frame::What,
};
use serde_json::{Map, Value, json};

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn json_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// Where to begin, from the JSON forms.
pub fn from(value: &Value) -> Option<v1::From> {
    let start = match value {
        Value::Null => return None,
        Value::String(text) => Start::Text(text.clone()),
        other => match other["last"].as_u64() {
            Some(count) => Start::Last(u32::try_from(count).expect("a small number")),
            None => panic!("{other} is no place to begin"),
        },
    };
    Some(v1::From { start: Some(start) })
}

/// A message to publish, of JSON data.
pub fn message(value: &Value) -> v1::Message {
    v1::Message {
        name: text(value, "name"),
        data: value.get("data").map(|data| message::Data::Json(json_bytes(data))),
        event_id: text(value, "event_id"),
        key: text(value, "key"),
        ..v1::Message::default()
    }
}

/// A request, from its JSON form.
pub fn request(frame: &Value) -> v1::ClientFrame {
    let (name, body) = frame
        .as_object()
        .and_then(|frame| frame.iter().find(|(name, _)| *name != "id"))
        .unwrap_or_else(|| panic!("{frame} has no command"));
    let topic = text(body, "topic");
    let command = match name.as_str() {
        "connect" => Command::Connect(v1::Connect {
            token: text(body, "token"),
            resume: text(body, "resume"),
            cursor: text(body, "cursor"),
            name: text(body, "name"),
            version: text(body, "version"),
        }),
        "subscribe" => Command::Subscribe(v1::Subscribe {
            topic,
            from: from(&body["from"]),
            on_slow: match body["on_slow"].as_str() {
                None => v1::OnSlow::Unspecified,
                Some("replay") => v1::OnSlow::Replay,
                Some("disconnect") => v1::OnSlow::Disconnect,
                Some("skip") => v1::OnSlow::Skip,
                Some("conflate") => v1::OnSlow::Conflate,
                Some(other) => panic!("{other} is no on_slow"),
            }
            .into(),
            presence: body["presence"].as_bool().unwrap_or(false),
        }),
        "unsubscribe" => Command::Unsubscribe(v1::Unsubscribe { topic }),
        "publish" => Command::Publish(v1::Publish { topic, message: Some(message(body)) }),
        "refresh" => Command::Refresh(v1::Refresh { token: text(body, "token") }),
        "ping" => Command::Ping(v1::Ping {}),
        "presence" => Command::Presence(v1::PresenceCommand { topic, act: Some(act(body)) }),
        other => panic!("{other} is not spoken here"),
    };
    v1::ClientFrame { id: frame["id"].as_u64().unwrap_or(0), command: Some(command) }
}

fn act(body: &Value) -> Act {
    if let Some(data) = body.get("enter") {
        let data = if data.is_null() { Bytes::new() } else { json_bytes(data) };
        Act::Enter(v1::PresenceEnter { data })
    } else if let Some(patch) = body.get("update") {
        Act::Update(v1::PresenceUpdate { patch: json_bytes(patch) })
    } else if let Some(read) = body.get("read") {
        let limit = u32::try_from(read["limit"].as_u64().unwrap_or(0)).expect("a small number");
        Act::Read(v1::PresenceRead { after: text(read, "after"), limit })
    } else {
        Act::Leave(v1::PresenceLeave {})
    }
}

/// The JSON form of what a server said. Members that are absent in JSON are absent here.
pub fn said(frame: v1::ServerFrame) -> Value {
    let (name, body) = match frame.what.expect("a frame says something") {
        What::Connected(c) => (
            "connected",
            json!({
                "session": c.session,
                "user": some(c.user),
                "expires_in": c.expires_in,
                "ping_every": c.ping_every,
                "resume": some(c.resume),
                "resumed": c.resumed.then_some(true),
            }),
        ),
        What::Subscribed(s) => {
            let state = if s.replaying { "replaying" } else { "live" };
            ("subscribed", json!({"topic": s.topic, "position": s.position, "state": state}))
        }
        What::Unsubscribed(u) => {
            let (code, reason) = ((u.code > 0).then_some(u.code), some(u.reason));
            ("unsubscribed", json!({"topic": u.topic, "code": code, "reason": reason}))
        }
        What::Published(p) => ("published", published(&p)),
        What::History(h) => (
            "history",
            json!({
                "topic": h.topic,
                "events": h.events.into_iter().map(event).collect::<Vec<_>>(),
                "more": h.more,
                "position": h.position,
                "first": h.first,
            }),
        ),
        What::Presence(p) => ("presence", state(p)),
        What::PresenceDiff(d) => ("presence", diff(d)),
        What::Refreshed(r) => ("refreshed", json!({"expires_in": r.expires_in})),
        What::Pong(_) => ("pong", json!({})),
        What::Ping(_) => ("ping", json!({})),
        What::Error(e) => ("error", json!({"code": e.code, "message": e.message, "retryable": e.retryable})),
        What::Event(e) => ("event", event(e)),
        What::Gap(g) => {
            let v1::Gap { topic, from, to, reason, position } = g;
            ("gap", json!({"topic": topic, "from": from, "to": to, "reason": reason, "position": position}))
        }
        What::Disconnect(d) => (
            "disconnect",
            json!({
                "code": d.code,
                "reason": d.reason,
                "reconnect": d.reconnect,
                "retry_after_ms": d.retry_after_ms,
            }),
        ),
        What::Resume(r) => ("resume", json!({"token": r.token, "expires_in": r.expires_in})),
        What::Expiring(e) => ("expiring", json!({"expires_in": e.expires_in})),
    };
    let mut said = Map::new();
    if frame.id != 0 {
        said.insert("id".to_owned(), frame.id.into());
    }
    said.insert(name.to_owned(), without_nulls(body));
    if !frame.cursor.is_empty() {
        said.insert("cursor".to_owned(), frame.cursor.into());
    }
    Value::Object(said)
}

/// The JSON form of a place where something was published.
pub fn published(p: &v1::Published) -> Value {
    json!({
        "topic": p.topic,
        "position": p.position,
        "offset": p.offset,
        "event_id": p.event_id,
        "duplicate": p.duplicate,
    })
}

/// The JSON form of an event.
pub fn event(event: v1::Event) -> Value {
    let (data, encoding) = match event.data {
        Some(event::Data::Json(bytes)) => (serde_json::from_slice(&bytes).expect("JSON data are JSON"), None),
        Some(event::Data::Text(text)) => (json!(text), Some("text")),
        Some(event::Data::Binary(bytes)) => {
            use base64::Engine as _;
            (json!(base64::engine::general_purpose::STANDARD.encode(bytes)), Some("base64"))
        }
        None => panic!("an event without data"),
    };
    without_nulls(json!({
        "topic": event.topic,
        "position": event.position,
        "offset": event.offset,
        "id": event.id,
        "name": some(event.name),
        "time": event.time,
        "data": data,
        "encoding": encoding,
        "user": some(event.user),
        "source": some(event.source),
        "key": some(event.key),
    }))
}

fn state(p: v1::PresenceState) -> Value {
    let members = (!p.occupancy_only).then(|| p.members.into_iter().map(member).collect::<Vec<_>>());
    without_nulls(json!({
        "topic": p.topic,
        "rev": p.rev,
        "count": p.count,
        "members": members,
        "next": some(p.next),
        "state": p.occupancy_only.then_some("occupancy"),
    }))
}

fn diff(d: v1::PresenceDiff) -> Value {
    let list =
        |members: Vec<v1::Member>| (!members.is_empty()).then(|| members.into_iter().map(member).collect::<Vec<_>>());
    without_nulls(json!({
        "topic": d.topic,
        "prev": d.prev,
        "rev": d.rev,
        "count": d.count,
        "join": list(d.join),
        "update": list(d.update),
        "leave": list(d.leave),
        "state": d.occupancy_only.then_some("occupancy"),
    }))
}

fn member(member: v1::Member) -> Value {
    let json = |bytes: Bytes| -> Value { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    without_nulls(json!({
        "id": member.id,
        "user": some(member.user),
        "info": json(member.info),
        "data": json(member.data),
        "since": member.since,
    }))
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
