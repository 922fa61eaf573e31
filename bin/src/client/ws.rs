//! Following over WebSocket.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::follow::{Ended, Sink};
use super::{Door, Start};
use crate::failure::{Code, Failure};

const SUBPROTOCOL: &str = "fanfare.v1.json";
/// Nothing comes for longer than the server's pings are apart: the connection is dead.
const SILENCE: Duration = Duration::from_secs(90);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Subscriptions over WebSocket, each with the position to resume it from.
#[derive(Debug)]
pub(super) struct Ws {
    door: Door,
    from: BTreeMap<String, Value>,
}

impl Ws {
    pub(super) fn new(door: Door, topics: Vec<String>, from: &Start) -> Self {
        Self { door, from: topics.into_iter().map(|topic| (topic, from.to_json())).collect() }
    }

    /// One connection, from where the last one ended.
    pub(super) async fn connect(&mut self, sink: &mut Sink) -> Ended {
        match self.converse(sink).await {
            Ok(ended) => ended,
            Err(error @ (tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_))) => {
                Ended::Over(Failure::because(Code::Unusable, "the server's URL cannot be used", error))
            }
            Err(tungstenite::Error::Http(response)) if response.status().is_client_error() => {
                let status = response.status().as_u16();
                Ended::Over(Failure::new(Code::Refused, format!("the server refused the WebSocket ({status})")))
            }
            Err(error) => Ended::Lost { why: format!("the connection broke ({error})"), retry: None },
        }
    }

    async fn converse(&mut self, sink: &mut Sink) -> Result<Ended, tungstenite::Error> {
        let mut url = self.door.at(&["v1", "ws"]);
        // Infallible for the two schemes that a door has.
        let _ = url.set_scheme(if url.scheme() == "https" { "wss" } else { "ws" });
        let mut request = url.as_str().into_client_request()?;
        let protocol = tungstenite::http::HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let tls = self.door.tls.clone().map(Connector::Rustls);
        let connecting = tokio_tungstenite::connect_async_tls_with_config(request, None, false, tls);
        let (mut socket, _) = Box::pin(connecting).await?;
        socket.send(Message::text(self.greeting())).await?;
        loop {
            let message = match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(Some(message)) => message?,
                Ok(None) => return Ok(Ended::Lost { why: "the server closed the connection".to_owned(), retry: None }),
                Err(_) => return Ok(Ended::Lost { why: "the server fell silent".to_owned(), retry: None }),
            };
            match message {
                Message::Text(text) => {
                    for line in text.lines() {
                        let frame: Value = serde_json::from_str(line).unwrap_or_default();
                        if frame.get("ping").is_some() {
                            socket.send(Message::text(r#"{"ping":{}}"#)).await?;
                        } else if let Some(ended) = self.take(&frame, sink) {
                            close(&mut socket).await;
                            return Ok(ended);
                        }
                    }
                }
                Message::Close(frame) => return Ok(closed(frame.as_ref())),
                _ => {}
            }
        }
    }

    /// `connect` and every `subscribe`, in one frame.
    fn greeting(&self) -> String {
        let connect = match &self.door.token {
            Some(token) => json!({ "token": token, "name": "fanfare-cli", "version": env!("CARGO_PKG_VERSION") }),
            None => json!({ "name": "fanfare-cli", "version": env!("CARGO_PKG_VERSION") }),
        };
        let mut lines = vec![json!({ "id": 1, "connect": connect }).to_string()];
        for (at, (topic, from)) in self.from.iter().enumerate() {
            lines.push(json!({ "id": at + 2, "subscribe": { "topic": topic, "from": from } }).to_string());
        }
        lines.join("\n")
    }

    /// Takes one frame; says how it ends the connection, if it does.
    fn take(&mut self, frame: &Value, sink: &mut Sink) -> Option<Ended> {
        let words = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(event) = frame.get("event") {
            self.remember(event);
            return (!sink.event(event)).then_some(Ended::Enough);
        }
        if let Some(gap) = frame.get("gap") {
            self.remember(gap);
            sink.gap(gap);
        } else if let Some(subscribed) = frame.get("subscribed") {
            sink.connected();
            // Where `now` was, in case the connection breaks before the first event. Other starts stay as they are.
            let topic = words(subscribed, "topic");
            if self.from.get(&topic) == Some(&Start::Now.to_json()) {
                self.remember(subscribed);
            }
        } else if let Some(disconnect) = frame.get("disconnect") {
            let why = words(disconnect, "reason");
            if disconnect.get("reconnect") == Some(&Value::Bool(false)) {
                return Some(over(&why));
            }
            let retry = disconnect.get("retry_after_ms").and_then(Value::as_u64).map(Duration::from_millis);
            return Some(Ended::Lost { why, retry });
        } else if let Some(unsubscribed) = frame.get("unsubscribed") {
            return Some(over(&format!("{}: {}", words(unsubscribed, "topic"), words(unsubscribed, "reason"))));
        } else if let Some(error) = frame.get("error") {
            let why = format!("{}: {}", words(error, "code"), words(error, "message"));
            let retryable = error.get("retryable") == Some(&Value::Bool(true));
            return Some(if retryable { Ended::Lost { why, retry: None } } else { over(&why) });
        }
        None
    }

    fn remember(&mut self, of: &Value) {
        if let (Some(Value::String(topic)), Some(position @ Value::String(_))) = (of.get("topic"), of.get("position")) {
            self.from.insert(topic.clone(), position.clone());
        }
    }
}

fn over(why: &str) -> Ended {
    Ended::Over(Failure::new(Code::Refused, format!("the server ended the subscription: {why}")))
}

/// The code carries the verdict: 4xxx do not come again.
fn closed(frame: Option<&tungstenite::protocol::CloseFrame>) -> Ended {
    let Some(frame) = frame else {
        return Ended::Lost { why: "the server closed the connection".to_owned(), retry: None };
    };
    let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
    match code {
        4000..=4999 => over(&format!("{reason} ({code})")),
        _ => Ended::Lost { why: format!("the server closed the connection: {reason} ({code})"), retry: None },
    }
}

async fn close(socket: &mut Socket) {
    // We are leaving: whether the server hears it does not matter.
    let _ = socket.close(None).await;
}
