//! A connection over any transport, made by a client that is used to failure: nothing here panics because a server is
//! not there.

use std::net::SocketAddr;
use std::time::Duration;

use fanfare_model::{Cursor, Position, TopicTag};
use fanfare_proto::v1::events_client::EventsClient;
use fanfare_proto::v1::session_client::SessionClient;
use fanfare_proto::v1::{ClientFrame, ServerFrame, SubscribeRequest, TopicFrom};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::sse::{EventStream, subscribe};
use crate::ws::{self, Received, WsClient};
use crate::{Transport, frames, grpc};

/// How long a connection may take to be made: with thousands of others at once, on a machine that runs all of them.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// A topic, and the position after which it is read; `None`: from the oldest.
pub(super) type Wanted = (String, Option<Position>);

pub(super) enum Line {
    Sse(Box<EventStream>),
    Ws(Box<WsClient>),
    Grpc { _requests: Option<mpsc::Sender<ClientFrame>>, replies: Box<Streaming<ServerFrame>> },
}

impl Line {
    /// Connects and subscribes; what went wrong, if it did.
    pub(super) async fn open(
        transport: Transport,
        to: SocketAddr,
        token: &str,
        wanted: &[Wanted],
    ) -> Result<Self, String> {
        let opening = async {
            match transport {
                Transport::Sse => over_sse(to, token, wanted).await,
                Transport::WsJson | Transport::WsProto => over_ws(transport, to, token, wanted).await,
                Transport::GrpcSubscribe => over_subscribe(to, token, wanted).await,
                Transport::GrpcSession => over_session(to, token, wanted).await,
            }
        };
        let opened = tokio::time::timeout(CONNECT_MAX, opening).await;
        opened.unwrap_or_else(|_| Err(format!("no answer in {CONNECT_MAX:?}")))
    }

    /// The next frame in its JSON form; `None` when the connection is over.
    pub(super) async fn next(&mut self) -> Option<Value> {
        match self {
            Self::Sse(stream) => {
                let event = stream.next().await.ok()??;
                if let Some(name) = event.name.strip_prefix("fanfare.") {
                    return Some(json!({name: event.json()}));
                }
                let mut envelope = event.json();
                // One topic: the event's id is its position.
                if envelope.get("position").is_none() {
                    envelope["position"] = event.id.into();
                }
                Some(json!({"event": envelope}))
            }
            Self::Ws(client) => match client.receive().await {
                Received::Frame(frame) => Some(frame),
                Received::Closed(_) => None,
            },
            Self::Grpc { replies, .. } => replies.message().await.ok()?.map(frames::said),
        }
    }
}

async fn over_sse(to: SocketAddr, token: &str, wanted: &[Wanted]) -> Result<Line, String> {
    let topics: Vec<&str> = wanted.iter().map(|(topic, _)| topic.as_str()).collect();
    let known: Vec<(TopicTag, Position)> =
        wanted.iter().filter_map(|(topic, at)| Some((TopicTag::of(&topic.parse().ok()?), (*at)?))).collect();
    let mut request = subscribe(to, &topics).token(Some(token.to_owned())).envelope().from("start");
    if !known.is_empty() {
        let mut cursor = String::new();
        Cursor::write_many(&known, &mut cursor);
        request = request.last_event_id(cursor);
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    if response.status != 200 {
        let status = response.status;
        return Err(format!("{status}: {}", response.text().await.unwrap_or_default()));
    }
    Ok(Line::Sse(Box::new(EventStream::of(response))))
}

fn subscriptions(wanted: &[Wanted]) -> impl Iterator<Item = Value> {
    wanted.iter().map(|(topic, at)| {
        let from = at.map_or("start".to_owned(), |position| position.to_string());
        json!({"subscribe": {"topic": topic, "from": from}})
    })
}

async fn over_ws(transport: Transport, to: SocketAddr, token: &str, wanted: &[Wanted]) -> Result<Line, String> {
    let text = |error: tokio_tungstenite::tungstenite::Error| error.to_string();
    let mut client = if transport == Transport::WsJson {
        ws::handshake(to, &[]).await.map_err(text)?.0
    } else {
        ws::handshake_proto(to).await.map_err(text)?
    };
    let reply = client.try_request(json!({"connect": {"token": token}})).await.map_err(text)?;
    if reply.get("connected").is_none() {
        return Err(reply.to_string());
    }
    for frame in subscriptions(wanted) {
        client.send(&frame).await.map_err(text)?;
    }
    Ok(Line::Ws(Box::new(client)))
}

async fn channel(to: SocketAddr) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{to}")).expect("an address is a URI");
    endpoint.connect().await.map_err(|error| error.to_string())
}

async fn over_subscribe(to: SocketAddr, token: &str, wanted: &[Wanted]) -> Result<Line, String> {
    let topics = wanted.iter().map(|(topic, at)| {
        let from = at.map_or("start".to_owned(), |position| position.to_string());
        TopicFrom { topic: topic.clone(), from: frames::from(&json!(from)) }
    });
    let request = SubscribeRequest { topics: topics.collect(), ..SubscribeRequest::default() };
    let mut client = EventsClient::new(channel(to).await?).max_decoding_message_size(64 << 20);
    let replies = client.subscribe(grpc::with_token(request, token)).await.map_err(|status| status.to_string())?;
    Ok(Line::Grpc { _requests: None, replies: Box::new(replies.into_inner()) })
}

async fn over_session(to: SocketAddr, token: &str, wanted: &[Wanted]) -> Result<Line, String> {
    let (requests, inbox) = mpsc::channel(64);
    let mut client = SessionClient::new(channel(to).await?);
    let hello = json!({"connect": {"token": token}});
    for frame in std::iter::once(hello).chain(subscriptions(wanted)) {
        requests.try_send(frames::request(&frame)).map_err(|error| error.to_string())?;
    }
    let replies = client.open(ReceiverStream::new(inbox)).await.map_err(|status| status.to_string())?;
    Ok(Line::Grpc { _requests: Some(requests), replies: Box::new(replies.into_inner()) })
}
