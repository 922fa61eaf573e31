//! Every way to listen, behind one face: a behaviour that all of them promise is tested once and run over each.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use fanfare_proto::v1;
use serde_json::{Value, json};

use crate::grpc::{self, Frames};
use crate::sse::{EventStream, subscribe};
use crate::ws::{self, Received, WsClient};
use crate::{SseEvent, frames, within};

/// A way to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// WebSocket, `fanfare.v1.json`.
    WsJson,
    /// WebSocket, `fanfare.v1.proto`.
    WsProto,
    /// gRPC, `Events.Subscribe`.
    GrpcSubscribe,
    /// gRPC, the bidirectional `Session`.
    GrpcSession,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Sse, Self::WsJson, Self::WsProto, Self::GrpcSubscribe, Self::GrpcSession];

    /// Whether a client can say something after it has connected.
    pub fn is_bidirectional(self) -> bool {
        matches!(self, Self::WsJson | Self::WsProto | Self::GrpcSession)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Which topics.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: String,
    /// A token, or a resume token.
    pub token: String,
    /// Also tell who is there.
    pub presence: bool,
}

impl Listen {
    /// Listens to one topic from now on.
    pub fn to(topic: &str, token: impl Into<String>) -> Self {
        Self { topics: vec![topic.to_owned()], from: "now".to_owned(), token: token.into(), presence: false }
    }

    /// From another place.
    #[must_use]
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.from = from.into();
        self
    }

    /// And tell who is there.
    #[must_use]
    pub fn with_presence(mut self) -> Self {
        self.presence = true;
        self
    }
}

/// What a client hears. Pings and replies are passed over.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An event, as JSON.
    Event(Value),
    /// A gap, as JSON.
    Gap(Value),
    /// Who is there, or what has changed in that.
    Presence(Value),
    /// A token to come back with.
    Resume(String),
    /// The credentials end in so many seconds.
    Expiring(u64),
    /// The server ended a subscription.
    Unsubscribed(Value),
    /// The server ended it all: the verdict, `Null` if it said nothing.
    Ended(Value),
}

/// A client that listens.
pub struct Listener {
    transport: Transport,
    line: Line,
    ready: VecDeque<Heard>,
    /// The session's id, if the transport tells it.
    pub session: Option<String>,
    next_id: u64,
}

enum Line {
    Sse(Box<EventStream>),
    Ws(Box<WsClient>),
    Grpc(Box<Frames>),
}

impl Transport {
    /// Listens, which must succeed.
    pub async fn listen(self, to: SocketAddr, ask: &Listen) -> Listener {
        let listener = within(format!("{self} to be let in"), self.try_listen(to, ask)).await;
        listener.unwrap_or_else(|code| panic!("{self} was refused: {code}"))
    }

    /// Listens, or the code of the refusal, or in words what went wrong on the way to the server.
    pub async fn try_listen(self, to: SocketAddr, ask: &Listen) -> Result<Listener, String> {
        match self {
            Self::Sse => self.over_sse(to, ask).await,
            Self::GrpcSubscribe => {
                let request = v1::SubscribeRequest {
                    topics: ask.topics.iter().map(|topic| v1::TopicFrom { topic: topic.clone(), from: None }).collect(),
                    from: frames::from(&json!(ask.from)),
                    presence: ask.presence,
                    ..v1::SubscribeRequest::default()
                };
                let frames = Frames::subscribe(to, &ask.token, request).await.map_err(|status| code(&status))?;
                Ok(self.listener(Line::Grpc(Box::new(frames))))
            }
            Self::WsJson | Self::WsProto | Self::GrpcSession => {
                let line = match self {
                    Self::WsJson => Line::Ws(Box::new(ws::handshake(to, &[]).await.map_err(in_words)?.0)),
                    Self::WsProto => Line::Ws(Box::new(ws::handshake_proto(to).await.map_err(in_words)?)),
                    _ => Line::Grpc(Box::new(Frames::session(to).await.map_err(|status| code(&status))?)),
                };
                let mut listener = self.listener(line);
                listener.converse(ask).await?;
                Ok(listener)
            }
        }
    }

    async fn over_sse(self, to: SocketAddr, ask: &Listen) -> Result<Listener, String> {
        let topics: Vec<&str> = ask.topics.iter().map(String::as_str).collect();
        let mut request =
            subscribe(to, &topics).envelope().query("resume", "1").from(&ask.from).token(Some(ask.token.clone()));
        if ask.presence {
            request = request.query("presence", "1");
        }
        let response = request.send().await.map_err(in_words)?;
        if response.status != 200 {
            let text = response.text().await.map_err(in_words)?;
            let problem: Value = serde_json::from_str(&text).unwrap_or_default();
            return Err(problem["code"].as_str().map_or(text, str::to_owned));
        }
        Ok(self.listener(Line::Sse(Box::new(EventStream::of(response)))))
    }

    fn listener(self, line: Line) -> Listener {
        Listener { transport: self, line, ready: VecDeque::new(), session: None, next_id: 1 }
    }
}

impl Listener {
    /// Says who it is, and subscribes.
    async fn converse(&mut self, ask: &Listen) -> Result<(), String> {
        let credential = if ask.token.starts_with("fr1.") { "resume" } else { "token" };
        let connected = self.request(json!({"connect": {credential: ask.token}})).await?;
        self.session = connected["connected"]["session"].as_str().map(str::to_owned);
        for topic in &ask.topics {
            let reply = self
                .request(json!({"subscribe": {"topic": topic, "from": ask.from, "presence": ask.presence}}))
                .await?;
            assert!(reply.get("subscribed").is_some(), "{reply}");
        }
        Ok(())
    }

    /// Sends a request and waits for the reply to it; an error's code if it is refused. What comes in between is kept.
    pub async fn request(&mut self, mut frame: Value) -> Result<Value, String> {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = id.into();
        match &mut self.line {
            Line::Sse(_) => panic!("SSE cannot say {frame}"),
            // An error means that the connection has ended, which the next read shows.
            Line::Ws(client) => drop(client.send(&frame).await),
            Line::Grpc(frames) => frames.send(&frame).await,
        }
        loop {
            let said = self.receive().await;
            if said["id"] == id {
                if let Some(resume) = said["connected"]["resume"].as_str() {
                    self.ready.push_back(Heard::Resume(resume.to_owned()));
                }
                return match said["error"]["code"].as_str() {
                    Some(code) => Err(code.to_owned()),
                    None => Ok(said),
                };
            }
            let ended = said.get("ended").is_some();
            self.ready.extend(heard(&said));
            if ended {
                return Err("ended".to_owned());
            }
        }
    }

    /// The next frame, as JSON; `{"ended":null}` at the end.
    async fn receive(&mut self) -> Value {
        let over = json!({"ended": null});
        match &mut self.line {
            Line::Ws(client) => match client.receive().await {
                Received::Frame(frame) => frame,
                Received::Closed(_) => over,
            },
            Line::Grpc(frames) => frames.receive().await.unwrap_or(over),
            Line::Sse(stream) => match stream.next().await {
                Ok(Some(event)) => of_sse(&event),
                Ok(None) | Err(_) => over,
            },
        }
    }

    /// What it hears next, which must come.
    pub async fn next(&mut self) -> Heard {
        let what = format!("something that {} hears", self.transport);
        within(what, async {
            loop {
                if let Some(heard) = self.ready.pop_front() {
                    return heard;
                }
                let said = self.receive().await;
                self.ready.extend(heard(&said));
            }
        })
        .await
    }

    /// The next event or gap or end; what else it hears is passed over.
    pub async fn event(&mut self) -> Value {
        loop {
            match self.next().await {
                Heard::Event(event) => return event,
                Heard::Resume(_) | Heard::Presence(_) | Heard::Expiring(_) => {}
                other => panic!("{}: expected an event, heard {other:?}", self.transport),
            }
        }
    }

    /// The data of the next `n` events, and the position after them.
    pub async fn take(&mut self, n: usize) -> (Vec<Value>, String) {
        let (mut data, mut position) = (Vec::with_capacity(n), String::new());
        while data.len() < n {
            let event = self.event().await;
            event["position"].as_str().expect("an event has a position").clone_into(&mut position);
            data.push(event["data"].clone());
        }
        (data, position)
    }

    /// The next thing about presence.
    pub async fn presence(&mut self) -> Value {
        loop {
            match self.next().await {
                Heard::Presence(presence) => return presence,
                Heard::Resume(_) | Heard::Event(_) => {}
                other => panic!("{}: expected presence, heard {other:?}", self.transport),
            }
        }
    }

    /// The next token to come back with.
    pub async fn resume_token(&mut self) -> String {
        loop {
            match self.next().await {
                Heard::Resume(token) => return token,
                Heard::Presence(_) | Heard::Event(_) => {}
                other => panic!("{}: expected a resume token, heard {other:?}", self.transport),
            }
        }
    }

    /// Passes over everything up to the end: the verdict.
    pub async fn ended(&mut self) -> Value {
        loop {
            if let Heard::Ended(verdict) = self.next().await {
                return verdict;
            }
        }
    }
}

fn in_words(error: impl fmt::Display) -> String {
    error.to_string()
}

/// The server's code, or what stands before the server says.
fn code(status: &tonic::Status) -> String {
    grpc::try_code_of(status).unwrap_or_else(|| status.to_string())
}

/// A stream's event in the form of a frame.
fn of_sse(event: &SseEvent) -> Value {
    if let Some(name) = event.name.strip_prefix("fanfare.") {
        return json!({name: event.json()});
    }
    let mut envelope = event.json();
    // One topic: the event's id is its position.
    if envelope.get("position").is_none() {
        envelope["position"] = event.id.clone().into();
    }
    json!({"event": envelope})
}

fn heard(said: &Value) -> Option<Heard> {
    let (name, body) = said.as_object()?.iter().find(|(name, _)| !matches!(name.as_str(), "id" | "cursor"))?;
    Some(match name.as_str() {
        "event" => Heard::Event(body.clone()),
        "gap" => Heard::Gap(body.clone()),
        "presence" => Heard::Presence(body.clone()),
        "resume" => Heard::Resume(body["token"].as_str()?.to_owned()),
        "connected" => Heard::Resume(body["resume"].as_str()?.to_owned()),
        "expiring" => Heard::Expiring(body["expires_in"].as_u64()?),
        "unsubscribed" => Heard::Unsubscribed(body.clone()),
        "disconnect" | "ended" => Heard::Ended(body.clone()),
        _ => return None,
    })
}
