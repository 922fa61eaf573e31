//! Requests.

use bytes::Bytes;
use fanfare_bus::{Direction, OnSlow};
use fanfare_model::{Draft, Invalid, Timestamp, Topic};
use fanfare_proto::v1::{self, client_frame, presence_command, read_history};
use fanfare_session::From;
use fanfare_session::client::{
    Anchor, Command, Connect, HistoryQuery, Incoming, Place, PresenceAct, Request, RequestId, Subscribe, Token,
    Unreadable,
};
use prost::Message as _;
use serde_json::value::RawValue;

/// Reads a message that is one `ClientFrame`. What is none is [`Incoming::Unreadable`], with the id if it has one.
pub fn read(message: &Bytes) -> Incoming {
    let unreadable = |id, error| Incoming::Unreadable(Unreadable { id, error });
    // What the decoder says is for whoever wrote the encoder, and none of a client's developers has.
    let Ok(frame) = v1::ClientFrame::decode(message.clone()) else {
        return unreadable(None, Invalid::new("message", "is not a `fanfare.v1.ClientFrame` in protobuf"));
    };
    let id = (frame.id != 0).then_some(RequestId(frame.id));
    match frame.command.map(command) {
        Some(Ok(command)) => Incoming::Request(Request { id, command }),
        Some(Err(error)) => unreadable(id, error),
        None => unreadable(id, Invalid::new("request", "has no command, or one that this server does not know")),
    }
}

fn command(command: client_frame::Command) -> Result<Command, Invalid> {
    use client_frame::Command as Asked;
    Ok(match command {
        Asked::Connect(body) => Command::Connect(connect(body)?),
        Asked::Subscribe(v1::Subscribe { topic, from: begin, on_slow: slow, presence }) => {
            Command::Subscribe(Subscribe {
                topic: Topic::new(topic)?,
                from: from(begin)?,
                on_slow: on_slow(slow)?,
                presence,
            })
        }
        Asked::Unsubscribe(v1::Unsubscribe { topic }) => Command::Unsubscribe { topic: Topic::new(topic)? },
        Asked::Publish(v1::Publish { topic, message }) => {
            let topic = Topic::new(topic)?;
            Command::Publish { topic, draft: draft_of_client(message)? }
        }
        Asked::History(body) => Command::History(history_query(body)?),
        Asked::Presence(v1::PresenceCommand { topic, act: asked }) => {
            let topic = Topic::new(topic)?;
            Command::Presence { topic, act: act(asked)? }
        }
        Asked::Refresh(v1::Refresh { token }) => Command::Refresh { token: Token(token) },
        Asked::Ping(v1::Ping {}) => Command::Ping,
    })
}

fn connect(body: v1::Connect) -> Result<Connect, Invalid> {
    let v1::Connect { token, resume, cursor, name, version } = body;
    Ok(Connect {
        token: given(token).map(Token),
        resume: given(resume).map(Token),
        cursor: given(cursor).map(|cursor| cursor.parse()).transpose()?,
        name: given(name),
        version: given(version),
    })
}

/// Where to begin; now, if nothing is said.
pub fn from(from: Option<v1::From>) -> Result<From, Invalid> {
    use v1::from::Start;
    match from.and_then(|from| from.start) {
        None => Ok(From::Now),
        Some(Start::Text(text)) => From::parse(&text),
        Some(Start::Last(count)) => Ok(From::Last(count)),
        Some(Start::Since(micros)) => Ok(From::Since(Timestamp::from_micros(micros))),
    }
}

/// What is to happen to a slow reader; `None`: what the policy says.
pub fn on_slow(number: i32) -> Result<Option<OnSlow>, Invalid> {
    Ok(match v1::OnSlow::try_from(number) {
        Ok(v1::OnSlow::Unspecified) => None,
        Ok(v1::OnSlow::Replay) => Some(OnSlow::Replay),
        Ok(v1::OnSlow::Disconnect) => Some(OnSlow::Disconnect),
        Ok(v1::OnSlow::Skip) => Some(OnSlow::Skip),
        Ok(v1::OnSlow::Conflate) => Some(OnSlow::Conflate),
        Err(_) => return Err(Invalid::new("on_slow", format_args!("is {number}, which is no value of `OnSlow`"))),
    })
}

/// A client may not say where an event comes from: the server knows.
fn draft_of_client(message: Option<v1::Message>) -> Result<Draft, Invalid> {
    let message = message.ok_or_else(|| Invalid::new("publish", "has no `message`"))?;
    if !message.source.is_empty() {
        return Err(Invalid::new("source", "is not for clients to say"));
    }
    message.try_into()
}

/// Which events to read.
pub fn history_query(body: v1::ReadHistory) -> Result<HistoryQuery, Invalid> {
    use read_history::Anchor as At;
    let v1::ReadHistory { topic, anchor, direction, limit } = body;
    let anchor = match anchor {
        None => Anchor::End,
        Some(At::Before(offset)) => Anchor::Before(Place::Offset(offset)),
        Some(At::After(offset)) => Anchor::After(Place::Offset(offset)),
        Some(At::BeforePosition(position)) => Anchor::Before(Place::Position(position.parse()?)),
        Some(At::AfterPosition(position)) => Anchor::After(Place::Position(position.parse()?)),
        Some(At::Since(micros)) => Anchor::Since(Timestamp::from_micros(micros)),
        Some(At::Last(count)) => Anchor::Last(count as usize),
    };
    let direction = match v1::Direction::try_from(direction) {
        Ok(v1::Direction::Unspecified) => None,
        Ok(v1::Direction::Forward) => Some(Direction::Forward),
        Ok(v1::Direction::Backward) => Some(Direction::Backward),
        Err(_) => {
            return Err(Invalid::new("direction", format_args!("is {direction}, which is no value of `Direction`")));
        }
    };
    let limit = (limit != 0).then_some(limit as usize);
    Ok(HistoryQuery { topic: Topic::new(topic)?, anchor, direction, limit })
}

fn act(act: Option<presence_command::Act>) -> Result<PresenceAct, Invalid> {
    use presence_command::Act;
    Ok(match act {
        Some(Act::Enter(v1::PresenceEnter { data })) if data.is_empty() => PresenceAct::Enter(None),
        Some(Act::Enter(v1::PresenceEnter { data })) => PresenceAct::Enter(Some(json("data", &data)?)),
        Some(Act::Update(v1::PresenceUpdate { patch })) => PresenceAct::Update(json("patch", &patch)?),
        Some(Act::Leave(v1::PresenceLeave {})) => PresenceAct::Leave,
        Some(Act::Read(v1::PresenceRead { after, limit })) => {
            PresenceAct::Read { after: given(after), limit: (limit != 0).then_some(limit as usize) }
        }
        None => return Err(Invalid::new("presence", "has none of `enter`, `update`, `leave` and `read`")),
    })
}

fn json(what: &'static str, bytes: &[u8]) -> Result<Box<RawValue>, Invalid> {
    serde_json::from_slice(bytes).map_err(|_| Invalid::new(what, "is not valid JSON"))
}

/// In protobuf an empty text and none are the same.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
