//! A reader to whom everything happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_model::{Cursor, Position, Topic, TopicTag};
use fanfare_tests::sse::subscribe;
use fanfare_tests::token::Token;
use fanfare_tests::{Cut, PATIENCE, Proxy, ws};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::Value;

use super::record::{Record, Seen};

/// A connection that is silent for so long is given up: the topics may be quiet, or the server dead.
const SILENCE_MAX: Duration = Duration::from_millis(400);

/// Between two attempts to connect.
const BACK_OFF: Duration = Duration::from_millis(20);

/// How the next connection will end, if the server does not end it before.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The reader goes after so many events.
    Leave(usize),
    /// The network breaks after so many events.
    Cut(usize, Cut),
    /// The network breaks after so many bytes, wherever in an event that is.
    Bytes(u64),
    /// It ends when nothing more comes.
    None,
}

pub(super) struct Reader {
    number: u64,
    proxy: Proxy,
    record: Arc<Record>,
    random: StdRng,
    token: String,
    positions: BTreeMap<String, Position>,
    seen: BTreeMap<String, Vec<Seen>>,
}

impl Reader {
    pub(super) fn new(number: u64, proxy: Proxy, record: Arc<Record>, random: StdRng) -> Self {
        let token = Token::client().user(&format!("reader-{number}")).mint();
        Self { number, proxy, record, random, token, positions: BTreeMap::new(), seen: BTreeMap::new() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn seen(&self, topic: &str) -> &[Seen] {
        self.seen.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn gaps(&self) -> usize {
        self.seen.values().flatten().filter(|item| matches!(item, Seen::Gap { .. })).count()
    }

    /// Connects and loses the connection, so many times.
    pub(super) async fn suffer(&mut self, disconnects: usize) {
        let mut lost = 0;
        while lost < disconnects {
            let fate = match self.random.random_range(0..10) {
                0..3 => Fate::Leave(self.random.random_range(0..40)),
                3..6 => {
                    let how = if self.random.random() { Cut::Fin } else { Cut::Reset };
                    Fate::Cut(self.random.random_range(0..40), how)
                }
                6..9 => Fate::Bytes(self.random.random_range(1..20_000)),
                // Long enough to be there when the server goes down; the publisher never leaves it in silence.
                _ => Fate::Leave(self.random.random_range(500..2_000)),
            };
            let record = Arc::clone(&self.record);
            let all = record.topics();
            let count = self.random.random_range(1..=all.len());
            let topics: Vec<&str> = all.choose_multiple(&mut self.random, count).copied().collect();
            if self.connect(&topics, fate).await {
                lost += 1;
                self.record.lost_a_connection();
            } else {
                // The back-off of any client while the server is down.
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }

    /// Reads on until it has everything that was published.
    pub(super) async fn catch_up(&mut self) {
        let record = Arc::clone(&self.record);
        let all = record.topics();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let behind = |topic: &&str| self.positions.get(*topic).map_or(0, |p| p.offset) < record.last_offset(topic);
            let topics: Vec<&str> = all.iter().copied().filter(behind).collect();
            if topics.is_empty() {
                return;
            }
            self.connect(&topics, Fate::None).await;
        }
        panic!("reader {} does not come to the end: {:?}", self.number, self.positions);
    }

    /// One connection. `false` if there was none because the server is down.
    async fn connect(&mut self, topics: &[&str], fate: Fate) -> bool {
        self.proxy.cut_new_after(if let Fate::Bytes(bytes) = fate { bytes } else { u64::MAX });
        if self.random.random() { self.over_sse(topics, fate).await } else { self.over_websocket(topics, fate).await }
    }

    /// Whether the connection is over after `events` events.
    fn is_over(&self, fate: Fate, events: usize) -> bool {
        match fate {
            Fate::Leave(count) => events >= count,
            Fate::Cut(count, how) => {
                if events == count {
                    // What is on its way still arrives, or does not.
                    self.proxy.cut(how);
                }
                false
            }
            Fate::Bytes(_) | Fate::None => false,
        }
    }

    async fn over_sse(&mut self, topics: &[&str], fate: Fate) -> bool {
        let mut subscription = subscribe(self.proxy.address(), topics).token(Some(self.token.clone())).envelope();
        if let Some(cursor) = self.cursor(topics) {
            subscription = if self.random.random() {
                subscription.last_event_id(cursor)
            } else {
                subscription.query("last_event_id", cursor)
            };
        }
        let subscription = subscription.from("start");
        let opening = tokio::time::timeout(SILENCE_MAX * 10, subscription.try_open());
        let Ok(Ok(mut stream)) = opening.await else { return false };
        let mut events = 0;
        while !self.is_over(fate, events) {
            let Ok(Ok(Some(event))) = tokio::time::timeout(SILENCE_MAX, stream.next()).await else { break };
            match event.name.as_str() {
                "fanfare.gap" => self.gap(&event.json()),
                name if name.starts_with("fanfare.") => {}
                _ => {
                    events += 1;
                    let envelope = event.json();
                    self.event(&envelope);
                    self.check_cursor(topics, &event.id);
                }
            }
        }
        true
    }

    async fn over_websocket(&mut self, topics: &[&str], fate: Fate) -> bool {
        let connecting = tokio::time::timeout(SILENCE_MAX * 10, ws::try_connect(self.proxy.address(), &self.token));
        let Ok(Ok(mut client)) = connecting.await else { return false };
        let commands: Vec<String> = topics
            .iter()
            .map(|topic| {
                let from = self.positions.get(*topic).map_or("start".to_owned(), Position::to_string);
                serde_json::json!({"subscribe": {"topic": topic, "from": from}}).to_string()
            })
            .collect();
        if client.send_text(&commands.join("\n")).await.is_err() {
            return true;
        }
        let mut events = 0;
        while !self.is_over(fate, events) {
            let Ok(Ok(frame)) = tokio::time::timeout(SILENCE_MAX, client.frame_or_closed()).await else { break };
            if let Some(event) = frame.get("event") {
                events += 1;
                self.event(event);
            } else if let Some(gap) = frame.get("gap") {
                self.gap(gap);
            } else {
                let expected = ["subscribed", "disconnect"].iter().any(|name| frame.get(*name).is_some());
                assert!(expected, "reader {}: {frame}", self.number);
            }
        }
        true
    }

    fn event(&mut self, event: &Value) {
        let topic = event["topic"].as_str().expect("a topic");
        let position: Position = event["position"].as_str().and_then(|p| p.parse().ok()).expect("a position");
        assert_eq!(event["offset"], position.offset);
        self.positions.insert(topic.to_owned(), position);
        let item = Seen::Event { offset: position.offset, id: event["id"].as_str().expect("an id").to_owned() };
        self.seen.entry(topic.to_owned()).or_default().push(item);
    }

    fn gap(&mut self, gap: &Value) {
        let topic = gap["topic"].as_str().expect("a topic");
        let position: Position = gap["position"].as_str().and_then(|p| p.parse().ok()).expect("a position");
        self.positions.insert(topic.to_owned(), position);
        let item = Seen::Gap {
            from: gap["from"].as_u64().expect("a number"),
            to: gap["to"].as_u64().expect("a number"),
            reason: gap["reason"].as_str().expect("text").to_owned(),
            acknowledged: self.record.acknowledged_count(topic),
        };
        self.seen.entry(topic.to_owned()).or_default().push(item);
    }

    /// The `id:` of a stream says exactly what was delivered of each topic.
    fn check_cursor(&self, topics: &[&str], id: &str) {
        let cursor: Cursor = id.parse().unwrap_or_else(|error| panic!("{error}: {id}"));
        for name in topics {
            let topic: Topic = name.parse().expect("a topic");
            let Some(position) = self.positions.get(*name) else { continue };
            let told = cursor.position_of(&topic, topics.len() == 1);
            assert_eq!(told.map(|p| p.offset), Some(position.offset), "reader {}: {name} in {id}", self.number);
        }
    }

    /// A cursor of those of `topics` that were seen before, as the specification says to write one.
    fn cursor(&self, topics: &[&str]) -> Option<String> {
        let known: Vec<(TopicTag, Position)> = topics
            .iter()
            .filter_map(|name| Some((TopicTag::of(&name.parse().ok()?), *self.positions.get(*name)?)))
            .collect();
        match (&known[..], topics.len()) {
            ([], _) => None,
            ([(_, position)], 1) => Some(position.to_string()),
            _ => {
                let mut text = String::new();
                Cursor::write_many(&known, &mut text);
                Some(text)
            }
        }
    }
}
