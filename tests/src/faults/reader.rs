//! A reader that comes back: to another node, from where it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::Position;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::checker::{Observation, Place, Reason};
use super::line::{Line, Wanted};
use super::recorder::{Recorder, hash_of};
use crate::Transport;
use crate::token::{Token, issued_long_ago};

/// A connection on which nothing comes, not even a ping, is given up: twice the time between two pings, and more.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The longest back-off between two attempts to connect.
const BACK_OFF_MAX: u64 = 300;

/// What a reader waits at most when it is told to come back later.
const RETRY_MAX: u64 = 3_000;

pub(super) struct Reader {
    pub(super) number: u32,
    pub(super) transport: Transport,
    pub(super) doors: Vec<SocketAddr>,
    pub(super) topics: Vec<String>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) random: StdRng,
}

impl Reader {
    /// The user that a reader is.
    pub(super) fn user(number: u32) -> String {
        format!("reader-{number}")
    }

    /// Reads for ever.
    pub(super) async fn run(mut self) {
        let token =
            Token::client().user(&Self::user(self.number)).claim("iat", issued_long_ago()).expires_in(36_000).mint();
        let mut positions: BTreeMap<String, Position> = BTreeMap::new();
        for topic in &self.topics {
            self.recorder.observe(Observation::Began { reader: self.number, topic: topic.clone(), after: None });
        }
        let mut door = self.random.random_range(0..self.doors.len());
        let mut last_failure = String::new();
        loop {
            let wanted: Vec<Wanted> =
                self.topics.iter().map(|topic| (topic.clone(), positions.get(topic).copied())).collect();
            let pause = match Line::open(self.transport, self.doors[door], &token, &wanted).await {
                Ok(line) => self.follow(line, &mut positions).await,
                Err(failure) => {
                    if failure != last_failure {
                        self.recorder.note(&format!("reader {} cannot connect: {failure}", self.number));
                        last_failure = failure;
                    }
                    None
                }
            };
            self.recorder.reconnected();
            let pause = pause.unwrap_or_else(|| self.random.random_range(10..BACK_OFF_MAX));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            door = (door + 1) % self.doors.len();
        }
    }

    /// Reads to the end of the connection; how long to wait, if the server said so, ms.
    async fn follow(&mut self, mut line: Line, positions: &mut BTreeMap<String, Position>) -> Option<u64> {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, line.next()).await.ok()??;
            if let Some(event) = frame.get("event") {
                self.event(event, positions);
            } else if let Some(gap) = frame.get("gap") {
                self.gap(gap, positions);
            } else if let Some(disconnect) = frame.get("disconnect") {
                return disconnect["retry_after_ms"].as_u64().map(|ms| ms.min(RETRY_MAX));
            } else if frame.get("error").is_some() || frame.get("unsubscribed").is_some() {
                self.recorder.note(&format!("reader {}: {frame}", self.number));
                return None;
            }
        }
    }

    fn event(&self, event: &Value, positions: &mut BTreeMap<String, Position>) {
        let at = self.recorder.now();
        let topic = self.topic_of(event);
        let position: Position = event["position"].as_str().and_then(|text| text.parse().ok()).expect("a position");
        positions.insert(topic.clone(), position);
        let data = &event["data"];
        if let Some(sent) = data["sent"].as_u64() {
            self.recorder.delivered(self.number, Duration::from_micros(sent));
        }
        let (hash, id) = (hash_of(data), event["id"].as_str().expect("an id").to_owned());
        let place = place_of(position);
        self.recorder.observe(Observation::Event { reader: self.number, topic, place, id, hash, at });
    }

    fn gap(&self, gap: &Value, positions: &mut BTreeMap<String, Position>) {
        let topic = self.topic_of(gap);
        let position: Position = gap["position"].as_str().and_then(|text| text.parse().ok()).expect("a position");
        positions.insert(topic.clone(), position);
        let reason = match gap["reason"].as_str() {
            Some("trimmed") => Reason::Trimmed,
            Some("epoch") => Reason::Epoch,
            Some("fork") => Reason::Fork,
            _ => Reason::Other,
        };
        let number = |name: &str| gap[name].as_u64().unwrap_or_default();
        let (from, to, place) = (number("from"), number("to"), place_of(position));
        self.recorder.observe(Observation::Gap { reader: self.number, topic, from, to, reason, place });
    }

    fn topic_of(&self, said: &Value) -> String {
        let topic = said["topic"].as_str().unwrap_or(&self.topics[0]);
        assert!(self.topics.iter().any(|one| one == topic), "reader {} never asked for {said}", self.number);
        topic.to_owned()
    }
}

fn place_of(position: Position) -> Place {
    Place { epoch: position.epoch.as_u32(), offset: position.offset }
}
