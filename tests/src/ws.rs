//! A client of the WebSocket gateway that speaks `fanfare.v1.json`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use fanfare_proto::v1::ServerFrame;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{frames, within};

/// The path of the gateway.
pub const PATH: &str = "/v1/ws";
/// The subprotocol.
pub const SUBPROTOCOL: &str = "fanfare.v1.json";
/// The same in protobuf.
pub const SUBPROTOCOL_PROTO: &str = "fanfare.v1.proto";

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The close code; `None` if the connection ended without a close frame.
    pub code: Option<u16>,
    /// The reason in the close frame.
    pub reason: String,
}

/// What the server sent next.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// One object.
    Frame(Value),
    /// The end.
    Closed(Closed),
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Proto,
}

/// A connection. Over protobuf as well, what is said is given in its JSON form.
pub struct WsClient {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    ready: VecDeque<Value>,
    next_id: u64,
    closed: Option<Closed>,
}

/// The handshake as a browser does it, with further headers.
pub async fn handshake(to: SocketAddr, headers: &[(&str, &str)]) -> Result<(WsClient, Response), Error> {
    open(to, headers, Encoding::Json).await
}

/// The same for the subprotocol in protobuf.
pub async fn handshake_proto(to: SocketAddr) -> Result<WsClient, Error> {
    Ok(open(to, &[], Encoding::Proto).await?.0)
}

async fn open(to: SocketAddr, headers: &[(&str, &str)], encoding: Encoding) -> Result<(WsClient, Response), Error> {
    let mut request = format!("ws://{to}{PATH}").into_client_request()?;
    let subprotocol = match encoding {
        Encoding::Json => SUBPROTOCOL,
        Encoding::Proto => SUBPROTOCOL_PROTO,
    };
    request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().expect("a plain header"));
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        request.headers_mut().insert(name, value.parse().expect("a plain header"));
    }
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    Ok((WsClient { socket, encoding, ready: VecDeque::new(), next_id: 1, closed: None }, response))
}

/// Opens a socket and says `connect` with `token`; an error if it is refused or fails on the way.
pub async fn try_connect(to: SocketAddr, token: &str) -> Result<WsClient, Error> {
    let (mut client, _) = handshake(to, &[]).await?;
    let reply = client.try_request(json!({"connect": {"token": token}})).await?;
    if reply.get("connected").is_none() {
        return Err(std::io::Error::other(reply.to_string()).into());
    }
    Ok(client)
}

/// Opens a socket and says `connect` with `token`, which must succeed.
pub async fn connect(to: SocketAddr, token: &str) -> WsClient {
    within("a WebSocket connection", try_connect(to, token)).await.expect("the server accepts")
}

impl WsClient {
    /// Sends `text` as one frame.
    pub async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await
    }

    /// Sends one object.
    pub async fn send(&mut self, frame: &Value) -> Result<(), Error> {
        match self.encoding {
            Encoding::Json => self.send_text(&frame.to_string()).await,
            Encoding::Proto => {
                let bytes = frames::request(frame).encode_to_vec();
                self.socket.send(Message::binary(bytes)).await
            }
        }
    }

    /// The next thing the server sent.
    pub async fn receive(&mut self) -> Received {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Received::Frame(frame);
            }
            if let Some(closed) = &self.closed {
                return Received::Closed(closed.clone());
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => self.ready.extend(text.lines().map(|line| {
                serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error} in a frame: {line}"))
            })),
            Some(Ok(Message::Close(frame))) => {
                self.closed = Some(frame.map_or(Closed { code: None, reason: String::new() }, |frame| Closed {
                    code: Some(u16::from(frame.code)),
                    reason: frame.reason.to_string(),
                }));
            }
            Some(Ok(Message::Binary(bytes))) if self.encoding == Encoding::Proto => {
                self.ready.push_back(frames::said(ServerFrame::decode(bytes).expect("a frame")));
            }
            Some(Ok(Message::Binary(bytes))) => panic!("a binary frame of {} bytes on a JSON protocol", bytes.len()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(_)) | None => self.closed = Some(Closed { code: None, reason: String::new() }),
        }
    }

    /// The next object that is neither a ping nor a resume token, which must come.
    pub async fn frame(&mut self) -> Value {
        match within("a frame", self.frame_or_closed()).await {
            Ok(frame) => frame,
            Err(closed) => panic!("expected a frame, but the connection closed: {closed:?}"),
        }
    }

    /// The next object that is neither a ping nor a resume token, or how the connection ended.
    pub async fn frame_or_closed(&mut self) -> Result<Value, Closed> {
        loop {
            match self.receive().await {
                // Needs no answer: the library answers the WebSocket ping beside it.
                Received::Frame(frame) if frame.get("ping").is_some() => {}
                // Comes when it is time for it, between any two others.
                Received::Frame(frame) if frame.get("resume").is_some() => {}
                Received::Frame(frame) => return Ok(frame),
                Received::Closed(closed) => return Err(closed),
            }
        }
    }

    /// Sends `frame` with a fresh id and gives the reply to it; what comes in between is kept for later.
    pub async fn try_request(&mut self, mut frame: Value) -> Result<Value, Error> {
        let id = self.next_id;
        self.next_id += 1;
        frame["id"] = json!(id);
        self.send(&frame).await?;
        let mut passed = VecDeque::new();
        let reply = loop {
            match self.frame_or_closed().await {
                Ok(frame) if frame["id"] == id => break Ok(frame),
                Ok(frame) => passed.push_back(frame),
                Err(_) => break Err(Error::ConnectionClosed),
            }
        };
        passed.append(&mut self.ready);
        self.ready = passed;
        reply
    }

    /// As [`WsClient::try_request`], for a reply that must come.
    pub async fn request(&mut self, frame: Value) -> Value {
        let what = format!("the reply to {frame}");
        within(&what, self.try_request(frame)).await.unwrap_or_else(|error| panic!("{error} instead of {what}"))
    }

    /// Subscribes, which must succeed: the content of `subscribed`.
    pub async fn subscribe(&mut self, topic: &str, from: impl Into<Value>) -> Value {
        let reply = self.request(json!({"subscribe": {"topic": topic, "from": from.into()}})).await;
        assert!(reply.get("subscribed").is_some(), "{reply}");
        reply["subscribed"].clone()
    }

    /// A request that must be refused with `code`: the whole error.
    pub async fn refused(&mut self, frame: Value, code: &str) -> Value {
        let what = frame.to_string();
        let reply = self.request(frame).await;
        assert_eq!(reply["error"]["code"], code, "{what}: {reply}");
        assert!(reply["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
        assert!(reply["error"]["retryable"].is_boolean(), "{reply}");
        reply["error"].clone()
    }

    /// The next `event`, which must come before any other frame.
    pub async fn event(&mut self) -> Value {
        let frame = self.frame().await;
        assert!(frame.get("event").is_some(), "expected an event, got {frame}");
        frame["event"].clone()
    }

    /// The data of the next `n` events.
    pub async fn take(&mut self, n: usize) -> Vec<Value> {
        let mut data = Vec::with_capacity(n);
        while data.len() < n {
            data.push(self.event().await["data"].clone());
        }
        data
    }

    /// Waits for the end of the connection, passing over frames: the frames and the end.
    pub async fn closed(&mut self) -> (Vec<Value>, Closed) {
        let mut frames = Vec::new();
        loop {
            match within("the end of the connection", self.receive()).await {
                Received::Frame(frame) => frames.push(frame),
                Received::Closed(closed) => return (frames, closed),
            }
        }
    }

    /// Closes politely and waits for the answer.
    pub async fn close(mut self) -> Closed {
        // An error means that it is closed already, which the wait then shows.
        let _ = self
            .socket
            .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            }))
            .await;
        self.closed().await.1
    }

    /// The socket under it.
    pub fn socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        &mut self.socket
    }
}
