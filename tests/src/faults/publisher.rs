//! A publisher that does not give up: what was not acknowledged is sent again, under the same id, to another node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::Position;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::checker::{Observation, Outcome, Place};
use super::recorder::{Recorder, hash_of};
use crate::token::{Token, issued_long_ago};

/// A node that does not answer for so long is given up for another: longer than an engine's own time-out.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The back-off between two attempts.
const BACK_OFF: Duration = Duration::from_millis(50);

/// After publishing was told to stop, an event may still be tried for so long before its fate is called unknown.
const LAST_TRIES: Duration = Duration::from_secs(30);

pub(super) struct Publisher {
    pub(super) number: u32,
    pub(super) nodes: Vec<SocketAddr>,
    pub(super) topics: Vec<String>,
    /// Between an acknowledgement and the next event.
    pub(super) pause: Duration,
    pub(super) recorder: Arc<Recorder>,
    pub(super) random: StdRng,
}

enum Answer {
    Stored(Place),
    Refused(String),
    Nothing,
}

impl Publisher {
    /// Publishes until the recorder says to stop.
    pub(super) async fn run(mut self) {
        // The machine's certificates are not needed, and take long to read.
        let http = reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().tls_certs_only([]);
        let http = http.build().expect("a client without TLS files");
        let token = Token::server().claim("iat", issued_long_ago()).expires_in(36_000).mint();
        let mut next = 1_u64;
        let mut round = Vec::new();
        while !self.recorder.is_stopping() {
            let topic = self.next_topic(&mut round);
            let id = format!("{}-{next}", self.number);
            next += 1;
            let invoked = self.recorder.now();
            let filling = "x".repeat(self.random.random_range(0..400));
            let data = json!({"sent": u64::try_from(invoked.as_micros()).expect("not that long"), "filling": filling});
            let hash = hash_of(&data);
            let body = json!({"topic": topic, "message": {"id": id, "data": data}});
            let outcome = self.until_known(&http, &token, &body).await;
            self.recorder.observe(Observation::Published { topic, id, hash, invoked, outcome });
            // Publishers of the field do not publish all the time either.
            tokio::time::sleep(self.pause).await;
        }
    }

    /// The topics in rounds, each in an order of its own: how long readers wait for something new is to be the servers'
    /// doing, and not the luck of their topic.
    fn next_topic(&mut self, round: &mut Vec<String>) -> String {
        if round.is_empty() {
            round.clone_from(&self.topics);
            round.shuffle(&mut self.random);
        }
        round.pop().expect("there are topics")
    }

    async fn until_known(&mut self, http: &reqwest::Client, token: &str, body: &Value) -> Outcome {
        let mut stopping_since = None;
        let mut node = self.random.random_range(0..self.nodes.len());
        loop {
            match attempt(http, self.nodes[node], token, body).await {
                Answer::Stored(place) => return Outcome::Acknowledged { place, at: self.recorder.now() },
                Answer::Refused(why) => {
                    self.recorder.note(&format!("refused: {why}"));
                    return Outcome::Refused;
                }
                Answer::Nothing => self.recorder.attempt_failed(),
            }
            if self.recorder.is_stopping() {
                let since = *stopping_since.get_or_insert_with(|| self.recorder.now());
                if self.recorder.now().saturating_sub(since) > LAST_TRIES {
                    return Outcome::Unknown;
                }
            }
            tokio::time::sleep(BACK_OFF).await;
            node = (node + 1) % self.nodes.len();
        }
    }
}

async fn attempt(http: &reqwest::Client, node: SocketAddr, token: &str, body: &Value) -> Answer {
    let request = http.post(format!("http://{node}/v1/publish")).bearer_auth(token).json(body);
    let Ok(response) = request.send().await else { return Answer::Nothing };
    let status = response.status();
    let Ok(text) = response.text().await else { return Answer::Nothing };
    if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        return Answer::Nothing;
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let position = answer["results"][0]["position"].as_str().and_then(|text| text.parse::<Position>().ok());
    match position {
        Some(at) if status.is_success() => Answer::Stored(Place { epoch: at.epoch.as_u32(), offset: at.offset }),
        // A result of its own may say to come again.
        _ if answer["results"][0]["error"]["retryable"] == true => Answer::Nothing,
        _ => Answer::Refused(format!("{status}: {text}")),
    }
}
