//! Requests as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fanfare_bus::{Direction, OnSlow};
use fanfare_model::json::{Encoding, Message, complaint, present};
use fanfare_model::{Headers, Invalid, Timestamp, Topic};
use fanfare_session::From;
use fanfare_session::client::{
    Anchor, Command, Connect, Continuation, HistoryQuery, Incoming, Place, PresenceAct, Request, RequestId, Subscribe,
    Token, Unreadable,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Reads the requests of one message, a line each.
pub(super) fn requests(message: &str, requests_max: usize, out: &mut Vec<Incoming>) {
    let lines = || message.split('\n').map(str::trim).filter(|line| !line.is_empty());
    let problem = match lines().take(requests_max.saturating_add(1)).count() {
        0 => "is empty".to_owned(),
        count if count > requests_max => format!("holds more than {requests_max} requests; none was carried out"),
        _ => {
            out.extend(lines().map(|line| match request(line) {
                Ok(request) => Incoming::Request(request),
                Err(error) => Incoming::Unreadable(Unreadable { id: id_of(line), error }),
            }));
            return;
        }
    };
    out.push(Incoming::Unreadable(Unreadable { id: None, error: Invalid::new("message", problem) }));
}

/// One request: an id and exactly one command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    connect: Option<&'a RawValue>,
    #[serde(borrow)]
    subscribe: Option<&'a RawValue>,
    #[serde(borrow)]
    unsubscribe: Option<&'a RawValue>,
    #[serde(borrow)]
    publish: Option<&'a RawValue>,
    #[serde(borrow)]
    history: Option<&'a RawValue>,
    #[serde(borrow)]
    presence: Option<&'a RawValue>,
    #[serde(borrow)]
    refresh: Option<&'a RawValue>,
    #[serde(borrow)]
    ping: Option<&'a RawValue>,
}

/// The id of a line that is no request, if it can be found.
fn id_of(line: &str) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Id {
        id: Option<u64>,
    }
    serde_json::from_str::<Id>(line).ok().and_then(|line| line.id).map(RequestId)
}

/// Reads the body of one kind of command.
type Read = fn(&RawValue) -> Result<Command, Invalid>;

fn request(line: &str) -> Result<Request, Invalid> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| complaint("request", &error))?;
    let commands: [(Option<&RawValue>, Read); 8] = [
        (line.connect, connect),
        (line.subscribe, subscribe),
        (line.unsubscribe, unsubscribe),
        (line.publish, publish),
        (line.history, history),
        (line.presence, presence),
        (line.refresh, refresh),
        (line.ping, ping),
    ];
    let mut given = commands.into_iter().filter_map(|(body, read)| body.map(|body| (body, read)));
    let (Some((body, read)), None) = (given.next(), given.next()) else {
        return Err(Invalid::new(
            "request",
            "must have exactly one of `connect`, `subscribe`, `unsubscribe`, `publish`, `history`, `presence`, `refresh` \
             and `ping`",
        ));
    };
    Ok(Request { id: line.id.map(RequestId), command: read(body)? })
}

/// Reads the body of the command `what`.
fn body<'a, T: Deserialize<'a>>(what: &'static str, json: &'a RawValue) -> Result<T, Invalid> {
    serde_json::from_str(json.get()).map_err(|error| complaint(what, &error))
}

fn connect(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        token: Option<String>,
        resume: Option<String>,
        #[serde(borrow)]
        cursor: Option<&'a RawValue>,
        name: Option<String>,
        version: Option<String>,
    }
    let Body { token, resume, cursor, name, version } = body("connect", json)?;
    let cursor = cursor.map(continuation).transpose()?;
    Ok(Command::Connect(Connect { token: token.map(Token), resume: resume.map(Token), cursor, name, version }))
}

/// A cursor, or an object of topics and their positions.
fn continuation(json: &RawValue) -> Result<Continuation, Invalid> {
    if json.get().starts_with('"') {
        return body::<String>("cursor", json)?.parse();
    }
    Continuation::from_texts(body::<BTreeMap<String, String>>("cursor", json)?)
}

fn subscribe(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
        #[serde(borrow)]
        from: Option<&'a RawValue>,
        on_slow: Option<OnSlow>,
        #[serde(default)]
        presence: bool,
    }
    let Body { topic, from: begin, on_slow, presence } = body("subscribe", json)?;
    let from = begin.map_or(Ok(From::Now), from)?;
    Ok(Command::Subscribe(Subscribe { topic: Topic::new(topic)?, from, on_slow, presence }))
}

/// `"now"`, `"start"`, `"last:50"`, `"since:…"`, a position or cursor; `{"last":50}`, `{"since":"…"}`.
fn from(json: &RawValue) -> Result<From, Invalid> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Body {
        Last(u32),
        Since(Time),
    }
    if json.get().starts_with('"') {
        return From::parse(&body::<String>("from", json)?);
    }
    match body("from", json)? {
        Body::Last(count) => Ok(From::Last(count)),
        Body::Since(time) => time.read().map(From::Since),
    }
}

/// RFC 3339, or milliseconds since 1970 as a number or a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Millis(i64),
    Text(String),
}

impl Time {
    fn read(self) -> Result<Timestamp, Invalid> {
        match self {
            Self::Millis(millis) => Timestamp::parse(&millis.to_string()),
            Self::Text(text) => Timestamp::parse(&text),
        }
    }
}

fn unsubscribe(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
    }
    let body: Body<'_> = body("unsubscribe", json)?;
    Ok(Command::Unsubscribe { topic: Topic::new(body.topic)? })
}

fn publish(json: &RawValue) -> Result<Command, Invalid> {
    // The message of `fanfare_model::json` with a topic, and without `source`, which is not the client's to say.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
        name: Option<String>,
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        encoding: Option<Encoding>,
        event_id: Option<String>,
        key: Option<String>,
        occurred_at: Option<i64>,
        #[serde(default)]
        headers: Headers,
        schema: Option<String>,
    }
    let body: Body<'_> = body("publish", json)?;
    let message = Message {
        id: body.event_id,
        name: body.name,
        data: body.data,
        encoding: body.encoding,
        key: body.key,
        occurred_at: body.occurred_at,
        headers: body.headers,
        schema: body.schema,
        source: None,
    };
    Ok(Command::Publish { topic: Topic::new(body.topic)?, draft: message.into_draft()? })
}

fn presence(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Leave {}
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        after: Option<String>,
        limit: Option<usize>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
        #[serde(borrow, default, deserialize_with = "present")]
        enter: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        update: Option<&'a RawValue>,
        leave: Option<Leave>,
        read: Option<Page>,
    }
    let body: Body<'_> = body("presence", json)?;
    let act = match (body.enter, body.update, body.leave, body.read) {
        // `null` says nothing of oneself, as leaving it out would where that were possible.
        (Some(data), None, None, None) => PresenceAct::Enter((data.get() != "null").then(|| data.to_owned())),
        (None, Some(patch), None, None) => PresenceAct::Update(patch.to_owned()),
        (None, None, Some(Leave {}), None) => PresenceAct::Leave,
        (None, None, None, Some(Page { after, limit })) => PresenceAct::Read { after, limit },
        _ => return Err(Invalid::new("presence", "must have exactly one of `enter`, `update`, `leave` and `read`")),
    };
    Ok(Command::Presence { topic: Topic::new(body.topic)?, act })
}

fn history(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Way {
        Forward,
        Backward,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum PlaceText {
        Offset(u64),
        Position(String),
    }
    impl PlaceText {
        fn read(self) -> Result<Place, Invalid> {
            match self {
                Self::Offset(offset) => Ok(Place::Offset(offset)),
                Self::Position(text) => text.parse().map(Place::Position),
            }
        }
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
        before: Option<PlaceText>,
        after: Option<PlaceText>,
        last: Option<usize>,
        since: Option<Time>,
        limit: Option<usize>,
        direction: Option<Way>,
    }
    let body: Body<'_> = body("history", json)?;
    let anchor = match (body.before, body.after, body.last, body.since) {
        (None, None, None, None) => Anchor::End,
        (Some(place), None, None, None) => Anchor::Before(place.read()?),
        (None, Some(place), None, None) => Anchor::After(place.read()?),
        (None, None, Some(count), None) => Anchor::Last(count),
        (None, None, None, Some(time)) => Anchor::Since(time.read()?),
        _ => return Err(Invalid::new("history", "may have only one of `before`, `after`, `last` and `since`")),
    };
    let direction = body.direction.map(|way| match way {
        Way::Forward => Direction::Forward,
        Way::Backward => Direction::Backward,
    });
    Ok(Command::History(HistoryQuery { topic: Topic::new(body.topic)?, anchor, direction, limit: body.limit }))
}

fn refresh(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        token: String,
    }
    let Body { token } = body("refresh", json)?;
    Ok(Command::Refresh { token: Token(token) })
}

fn ping(json: &RawValue) -> Result<Command, Invalid> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {}
    let Body {} = body("ping", json)?;
    Ok(Command::Ping)
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Data, Draft, EventId, EventName};
    use proptest::prelude::*;

    use super::*;

    fn read(message: &str) -> Vec<Incoming> {
        let mut out = Vec::new();
        requests(message, 4, &mut out);
        out
    }

    fn one(message: &str) -> Request {
        match read(message).as_slice() {
            [Incoming::Request(request)] => request.clone(),
            other => panic!("{message}: {other:?}"),
        }
    }

    fn topic(text: &str) -> Topic {
        Topic::new(text).unwrap()
    }

    #[test]
    fn the_requests_of_the_specification() {
        assert_eq!(
            one(r#"{"id":1,"connect":{"token":"t","name":"web","version":"1.2"}}"#),
            Request {
                id: Some(RequestId(1)),
                command: Command::Connect(Connect {
                    token: Some(Token("t".into())),
                    name: Some("web".into()),
                    version: Some("1.2".into()),
                    ..Connect::default()
                })
            }
        );
        let positions = || [("chat:42".to_owned(), "k3J9.17.0x7".to_owned())];
        for cursor in [r#"{"chat:42":"k3J9.17.0x7"}"#, r#""{\"chat:42\":\"k3J9.17.0x7\"}""#] {
            assert_eq!(
                one(&format!(r#"{{"connect":{{"resume":"fr1.x","cursor":{cursor}}}}}"#)).command,
                Command::Connect(Connect {
                    resume: Some(Token("fr1.x".into())),
                    cursor: Some(Continuation::from_texts(positions()).unwrap()),
                    ..Connect::default()
                })
            );
        }
        assert_eq!(
            one(r#"{"subscribe":{"topic":"chat:42","from":"start","on_slow":"skip","presence":true}}"#).command,
            Command::Subscribe(Subscribe {
                on_slow: Some(OnSlow::Skip),
                presence: true,
                ..Subscribe::new(topic("chat:42"), From::Start)
            })
        );
        let draft = Draft {
            id: EventId::new("e").unwrap(),
            name: Some(EventName::new("message").unwrap()),
            ..Draft::new(Data::json(r#"{"text":"hi"}"#).unwrap())
        };
        assert_eq!(
            one(r#"{"publish":{"topic":"chat:42","name":"message","data":{"text":"hi"},"event_id":"e"}}"#),
            Request { id: None, command: Command::Publish { topic: topic("chat:42"), draft } }
        );
        assert_eq!(one(r#"{"id":6,"refresh":{"token":"t"}}"#).command, Command::Refresh { token: Token("t".into()) });
        assert_eq!(one(r#"{"id":7,"unsubscribe":{"topic":"a"}}"#).command, Command::Unsubscribe { topic: topic("a") });
        assert_eq!(one(r#"{"ping":{}}"#), Request { id: None, command: Command::Ping });
    }

    #[test]
    fn every_form_of_from() {
        let from = |json: &str| match one(&format!(r#"{{"subscribe":{{"topic":"a","from":{json}}}}}"#)).command {
            Command::Subscribe(subscribe) => subscribe.from,
            other => panic!("{other:?}"),
        };
        assert_eq!(from("null"), From::Now);
        assert_eq!(from(r#""now""#), From::Now);
        assert_eq!(from(r#""start""#), From::Start);
        assert_eq!(from(r#""last:5""#), From::Last(5));
        assert_eq!(from(r#"{"last":50}"#), From::Last(50));
        let ten = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        assert_eq!(from(r#"{"since":"2026-11-21T10:00:00Z"}"#), From::Since(ten));
        assert_eq!(from(r#"{"since":1000}"#), From::Since(Timestamp::from_seconds(1)));
        assert!(matches!(from(r#""k3J9.17.0x7""#), From::Cursor(_)));
    }

    #[test]
    fn every_act_of_presence() {
        let act = |act: &str| match one(&format!(r#"{{"presence":{{"topic":"a",{act}}}}}"#)).command {
            Command::Presence { act, .. } => act,
            other => panic!("{other:?}"),
        };
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        assert_eq!(act(r#""enter":{"status":"typing"}"#), PresenceAct::Enter(Some(raw(r#"{"status":"typing"}"#))));
        assert_eq!(act(r#""enter":null"#), PresenceAct::Enter(None));
        assert_eq!(act(r#""update":{"status":null}"#), PresenceAct::Update(raw(r#"{"status":null}"#)));
        assert_eq!(act(r#""leave":{}"#), PresenceAct::Leave);
        assert_eq!(act(r#""read":{}"#), PresenceAct::Read { after: None, limit: None });
        assert_eq!(
            act(r#""read":{"after":"s","limit":5}"#),
            PresenceAct::Read { after: Some("s".to_owned()), limit: Some(5) }
        );
    }

    #[test]
    fn history_has_one_anchor() {
        let anchor = |members: &str| match one(&format!(r#"{{"history":{{"topic":"a"{members}}}}}"#)).command {
            Command::History(query) => query.anchor,
            other => panic!("{other:?}"),
        };
        assert_eq!(anchor(""), Anchor::End);
        assert_eq!(anchor(r#","before":100,"limit":50"#), Anchor::Before(Place::Offset(100)));
        assert!(matches!(anchor(r#","after":"k3J9.17.0x7""#), Anchor::After(Place::Position(_))));
        assert_eq!(anchor(r#","last":5"#), Anchor::Last(5));
        assert_eq!(anchor(r#","since":"1000","direction":"backward""#), Anchor::Since(Timestamp::from_seconds(1)));
    }

    #[test]
    fn refusals_name_what_is_wrong_and_keep_the_id() {
        for (message, part) in [
            (r#"{"id":9,"presence":{"topic":"a"}}"#, "exactly one of `enter`, `update`, `leave` and `read`"),
            (r#"{"id":9,"presence":{"topic":"a","enter":{},"leave":{}}}"#, "exactly one of `enter`"),
            (r#"{"id":9,"presence":{"topic":"a","read":{"from":1}}}"#, "unknown field `from`"),
            (r#"{"id":9,"connect":{"session":"x"}}"#, "connect is not as it should be: unknown field `session`"),
            (r#"{"id":9,"connect":{"cursor":"k3J9.17.0x7"}}"#, "cursor is the position of one topic"),
            (r#"{"id":9,"connect":{"cursor":{"a":1}}}"#, "cursor is not as it should be"),
            (r#"{"id":9,"subscribe":{"topic":"a","presence":1}}"#, "subscribe is not as it should be"),
            (r#"{"id":9,"subscribe":{"topic":"a b"}}"#, "topic has the character ' '"),
            (r#"{"id":9,"subscribe":{"topic":"a","from":"later"}}"#, "from is none of"),
            (r#"{"id":9,"subscribe":{"topic":"a","from":{"last":-1}}}"#, "from is not as it should be"),
            (r#"{"id":9,"subscribe":{"topic":"a","from":{"last":1,"since":1}}}"#, "from is not as it should be"),
            (r#"{"id":9,"subscribe":{"topic":"a","from":17}}"#, "from is not as it should be"),
            (r#"{"id":9,"subscribe":{"topic":"a","on_slow":"wait"}}"#, "unknown variant `wait`"),
            (r#"{"id":9,"publish":{"topic":"a"}}"#, "message has no `data`"),
            (r#"{"id":9,"publish":{"topic":"a","data":1,"source":"x"}}"#, "unknown field `source`"),
            (r#"{"id":9,"publish":{"topic":"a","data":1,"user":"x"}}"#, "unknown field `user`"),
            (r#"{"id":9,"history":{"topic":"a","before":1,"after":2}}"#, "only one of"),
            (r#"{"id":9,"history":{"topic":"a","before":"x"}}"#, "position is not of the form"),
            (r#"{"id":9}"#, "exactly one of"),
            (r#"{"id":9,"ping":{},"refresh":{"token":"t"}}"#, "exactly one of"),
        ] {
            match read(message).as_slice() {
                [Incoming::Unreadable(Unreadable { id: Some(RequestId(9)), error })] => {
                    assert!(error.to_string().contains(part), "{message}: {error}");
                }
                other => panic!("{message}: {other:?}"),
            }
        }
        for message in ["", "\n\n", "{", "[]", "1", r#"{"id":-1,"ping":{}}"#, r#"{"id":1.5,"ping":{}}"#] {
            assert!(
                matches!(read(message).as_slice(), [Incoming::Unreadable(Unreadable { id: None, .. })]),
                "{message}"
            );
        }
    }

    #[test]
    fn several_in_a_message_and_not_too_many() {
        let ping = r#"{"ping":{}}"#;
        let message = format!("{ping}\r\n\n{ping}\nnonsense\n{ping}\n");
        let read_it = read(&message);
        assert_eq!(read_it.len(), 4);
        assert!(matches!(read_it[2], Incoming::Unreadable(_)));
        let many = read(&format!("{ping}\n").repeat(5));
        assert!(matches!(many.as_slice(), [Incoming::Unreadable(_)]), "{many:?}");
    }

    proptest! {
        #[test]
        fn hostile_messages_never_panic(message in "[\\{\\}\\[\\]\":,a-z0-9\\n\\\\ ]{0,80}") {
            read(&message);
        }

        #[test]
        fn every_cut_of_a_request_is_refused(end in 0_usize..84) {
            let whole = r#"{"id":2,"subscribe":{"topic":"chat:42","from":"k3J9.17.0x7","on_slow":"replay"}}"#;
            let cut = &whole[..end.min(whole.len() - 1)];
            prop_assert!(matches!(read(cut).as_slice(), [Incoming::Unreadable(_)]));
        }
    }
}
