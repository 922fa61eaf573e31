//! Following over server-sent events.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::event_stream::{EventStream, Message};
use super::follow::{Ended, Sink};
use super::request::{Requests, refusal};
use super::{Door, Start};
use crate::failure::{Code, Failure};

/// A subscription over server-sent events, and the cursor to resume it from.
#[derive(Debug)]
pub(super) struct Sse {
    requests: Requests,
    topics: Vec<String>,
    from: Start,
    cursor: String,
}

impl Sse {
    pub(super) fn new(door: Door, topics: Vec<String>, from: Start) -> Result<Self, Failure> {
        Ok(Self { requests: Requests::to(door)?, topics, from, cursor: String::new() })
    }

    /// One connection, from the cursor if there is one.
    pub(super) async fn connect(&mut self, sink: &mut Sink) -> Ended {
        let from = self.from.to_text();
        let topics: Vec<_> = self.topics.iter().map(|topic| json!({ "topic": topic, "from": from })).collect();
        let mut request = self
            .requests
            .post(&["v1", "sse"])
            // `checkpoint`: the cursor comes first, so that a break before the first event loses nothing.
            .query(&[("envelope", "1"), ("checkpoint", "1"), ("reject", "status")])
            .header("accept", "text/event-stream")
            .json(&json!({ "topics": topics }));
        if !self.cursor.is_empty() {
            request = request.header("last-event-id", &self.cursor);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ended::Lost { why: format!("no connection ({})", error.without_url()), retry: None },
        };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Ended::Over(Failure::new(Code::Refused, "the server ended the stream")),
            status => {
                let retry = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                let failure = refusal(response).await;
                let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                if !passing {
                    return Ended::Over(failure);
                }
                return Ended::Lost { why: failure.to_string(), retry: retry.map(Duration::from_secs) };
            }
        }
        sink.connected();
        self.read(response, sink).await
    }

    async fn read(&mut self, response: reqwest::Response, sink: &mut Sink) -> Ended {
        let mut stream = EventStream::default();
        let mut retry = None;
        let mut body = response.bytes_stream();
        loop {
            let why = match body.next().await {
                Some(Ok(bytes)) => {
                    let mut messages = Vec::new();
                    if let Err(problem) = stream.read(&bytes, |message| messages.push(message)) {
                        return Ended::Over(Failure::new(
                            Code::Refused,
                            format!("what comes is no event stream: {problem}"),
                        ));
                    }
                    retry = stream.take_retry().map(Duration::from_millis).or(retry);
                    for message in messages {
                        if let Some(ended) = take(&message, sink, retry) {
                            stream.last_id().clone_into(&mut self.cursor);
                            return ended;
                        }
                    }
                    if !stream.last_id().is_empty() {
                        stream.last_id().clone_into(&mut self.cursor);
                    }
                    continue;
                }
                Some(Err(error)) => format!("the connection broke ({})", error.without_url()),
                None => "the server closed the connection".to_owned(),
            };
            return Ended::Lost { why, retry };
        }
    }
}

/// Shows one message, or says how it ends the connection.
fn take(message: &Message, sink: &mut Sink, retry: Option<Duration>) -> Option<Ended> {
    let data: Value = serde_json::from_str(&message.data).unwrap_or_else(|_| json!({ "data": message.data }));
    match message.event.as_str() {
        "fanfare.gap" => sink.gap(&data),
        "fanfare.disconnect" => {
            let why = data.get("reason").and_then(Value::as_str).unwrap_or("disconnected").to_owned();
            if data.get("reconnect") == Some(&Value::Bool(false)) {
                return Some(Ended::Over(Failure::new(Code::Refused, format!("the server ended the stream: {why}"))));
            }
            let asked = data.get("retry_after_ms").and_then(Value::as_u64).map(Duration::from_millis);
            return Some(Ended::Lost { why, retry: asked.or(retry) });
        }
        control if control.starts_with("fanfare.") => {}
        _ => return (!sink.event(&data)).then_some(Ended::Enough),
    }
    None
}
