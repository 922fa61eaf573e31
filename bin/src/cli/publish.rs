//! `fanfare publish`.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::client::{self, Requests, ServerDoor, send};
use crate::failure::{Code, Failure};
use crate::print;

/// Publish an event.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare publish news '{\"text\":\"hi\"}' --dev
  fanfare publish chat:42 'plain text' --name message --id 0193-abc
  date | fanfare publish clock -
  fanfare publish photos - --content-type image/png < cat.png")]
pub(super) struct Publish {
    /// The topic.
    topic: String,
    /// The data, or `-` for standard input. What is a JSON object or array is sent as JSON, anything else as text.
    #[arg(default_value = "-")]
    data: String,
    #[command(flatten)]
    door: ServerDoor,
    /// What kind of thing it says.
    #[arg(long)]
    name: Option<String>,
    /// The event's id: publishing the same id again stores it once.
    #[arg(long)]
    id: Option<String>,
    /// What it is about; `conflate` keeps the latest event of each key.
    #[arg(long)]
    key: Option<String>,
    /// A header that travels with the event. May be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The data must be JSON (also a number or a string in quotes).
    #[arg(long, conflicts_with = "content_type")]
    json: bool,
    /// Send the data as bytes, with this content type as a header; needed for what is not text.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

impl Publish {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let data = self.data()?;
        let headers = self.headers()?;
        let requests = Requests::to(self.door.clone().open()?)?;
        client::run(async move {
            let request = requests.post(&["v1", "publish"]).json(&self.body(data, headers)?);
            let answer = send(request).await?.text().await.map_err(client::unreachable)?;
            print::line(answer.trim_end());
            Ok(())
        })
    }

    fn data(&mut self) -> Result<Vec<u8>, Failure> {
        if self.data != "-" {
            return Ok(std::mem::take(&mut self.data).into_bytes());
        }
        let mut data = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut data)
            .map_err(|error| Failure::because(Code::Unusable, "standard input cannot be read", error))?;
        Ok(data)
    }

    fn headers(&self) -> Result<BTreeMap<String, String>, Failure> {
        let split = |header: &String| {
            let (name, value) = header.split_once('=').ok_or_else(|| {
                Failure::new(
                    Code::Unusable,
                    format!("the header {header:?} has no `=`; write it like --header lang=en"),
                )
            })?;
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        };
        self.headers.iter().map(split).collect()
    }

    fn body(&self, data: Vec<u8>, mut headers: BTreeMap<String, String>) -> Result<Value, Failure> {
        let mut message = Map::new();
        for (name, value) in [("name", &self.name), ("id", &self.id), ("key", &self.key)] {
            if let Some(value) = value {
                message.insert(name.to_owned(), json!(value));
            }
        }
        match &self.content_type {
            Some(content_type) => {
                message.insert("encoding".to_owned(), json!("base64"));
                message.insert("data".to_owned(), json!(STANDARD.encode(data)));
                headers.insert("content-type".to_owned(), content_type.clone());
            }
            None => drop(message.insert("data".to_owned(), self.value(data)?)),
        }
        if !headers.is_empty() {
            message.insert("headers".to_owned(), json!(headers));
        }
        Ok(json!({ "topic": self.topic, "message": message }))
    }

    fn value(&self, data: Vec<u8>) -> Result<Value, Failure> {
        let text = String::from_utf8(data).map_err(|_| {
            Failure::new(
                Code::Unusable,
                "the data is not text; name its type, e.g. --content-type application/octet-stream",
            )
        })?;
        let looks_like_json = text.trim_start().starts_with(['{', '[']);
        match serde_json::from_str(&text) {
            Ok(value) if self.json || looks_like_json => Ok(value),
            Err(error) if self.json => Err(Failure::because(Code::Unusable, "the data is not JSON", error)),
            _ => Ok(Value::String(text)),
        }
    }
}
