//! Reading many messages of a stream with one request ("batched direct get").
//!
//! Any replica answers, so what it answers may be a moment old. One subscription takes all answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::Timestamp;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use crate::error::Fault;

/// The most messages asked for at once.
pub(crate) const BATCH_MAX: usize = 256;
/// The most bytes asked for at once: less than what makes a server take this node for slow.
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// Which messages of a stream.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Get<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// Not before this (RFC 3339), in place of `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_by_subj: Option<&'a str>,
    /// The last message of each of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) multi_last: Vec<&'a str>,
    /// … that is not after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) up_to_seq: Option<u64>,
    pub(crate) batch: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<usize>,
}

impl<'a> Get<'a> {
    /// At most `batch` messages of `subject`, not before `seq`.
    pub(crate) fn next(subject: &'a str, seq: u64, batch: usize) -> Self {
        Self { seq: Some(seq.max(1)), next_by_subj: Some(subject), batch, ..Self::default() }
    }

    /// At most `batch` messages of `subject`, not before `time`.
    pub(crate) fn since(subject: &'a str, time: Timestamp, batch: usize) -> Self {
        // A server knows no time before 1970.
        let time = time.max(Timestamp::from_micros(0)).to_string();
        Self { start_time: Some(time), next_by_subj: Some(subject), batch, ..Self::default() }
    }

    /// The last message of each of `subjects`.
    pub(crate) fn last(subjects: Vec<&'a str>) -> Self {
        Self { batch: subjects.len(), multi_last: subjects, ..Self::default() }
    }

    /// The last message of `subject` that is not after `seq`, which must not be beyond the end of the stream: nothing is found
    /// then (NATS 2.15).
    pub(crate) fn last_until(subject: &'a str, seq: u64) -> Self {
        Self { multi_last: vec![subject], up_to_seq: Some(seq), batch: 1, ..Self::default() }
    }
}

/// A message of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) payload: Bytes,
    /// What the server says of a message that it put there itself.
    pub(crate) is_marker: bool,
    /// The header that says of a renewed lease which one it is.
    pub(crate) fence: Option<u64>,
}

/// What a request found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) messages: Vec<Stored>,
    /// How many more there are after them.
    pub(crate) pending: u64,
}

impl Batch {
    /// How many there are in all.
    pub(crate) fn count(&self) -> u64 {
        self.messages.len() as u64 + self.pending
    }
}

/// The header of a lease's fence.
pub(crate) const FENCE: &str = "Fanfare-Fence";

/// Text of a header.
pub(crate) fn header<'a>(message: &'a Message, name: &'static str) -> Option<&'a str> {
    message.headers.as_ref()?.get(async_nats::HeaderName::from_static(name)).map(async_nats::HeaderValue::as_str)
}

/// The time as a server writes it.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).ok()
}

impl Stored {
    fn read(message: &Message) -> Option<Self> {
        Some(Self {
            subject: header(message, "Nats-Subject")?.to_owned(),
            seq: header(message, "Nats-Sequence")?.parse().ok()?,
            time: time(header(message, "Nats-Time-Stamp")?)?,
            payload: message.payload.clone(),
            is_marker: header(message, "Nats-Marker-Reason").is_some(),
            fence: header(message, FENCE).and_then(|fence| fence.parse().ok()),
        })
    }
}

/// What a leader answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Got {
    pub(crate) message: GotMessage,
}

/// A message as a leader shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

impl GotMessage {
    pub(crate) fn stored(self) -> Result<Stored, Fault> {
        let bytes = |text: &str| STANDARD.decode(text).map_err(|error| Fault::Garbled(error.to_string()));
        let headers = String::from_utf8(bytes(&self.hdrs)?).unwrap_or_default();
        let header = |name: &str| {
            headers
                .lines()
                .find_map(|line| line.split_once(':').filter(|(found, _)| *found == name))
                .map(|(_, value)| value.trim())
        };
        Ok(Stored {
            seq: self.seq,
            time: time(&self.time).ok_or_else(|| Fault::Garbled(format!("the time {}", self.time)))?,
            payload: bytes(&self.data)?.into(),
            is_marker: header("Nats-Marker-Reason").is_some(),
            fence: header(FENCE).and_then(|fence| fence.parse().ok()),
            subject: self.subject,
        })
    }
}

type Waiting = Mutex<HashMap<u64, mpsc::Sender<Message>>>;

/// Takes the answers to all gets.
pub(crate) struct Gets {
    inbox: String,
    next: AtomicU64,
    waiting: Arc<Waiting>,
    _until_dropped: DropGuard,
}

impl Gets {
    pub(crate) async fn listen(client: &Client, life: &Lifecycle) -> Result<Self, async_nats::SubscribeError> {
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(format!("{inbox}.*")).await?;
        let waiting: Arc<Waiting> = Arc::default();
        let end = life.hard().child_token();
        let until_dropped = end.clone().drop_guard();
        let askers = Arc::clone(&waiting);
        life.spawn(TaskKind::Background, "nats-gets", async move {
            while let Some(Some(message)) = end.run_until_cancelled(answers.next()).await {
                let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
                let asker = number.and_then(|number: u64| askers.lock().get(&number).cloned());
                if let Some(asker) = asker {
                    // There is room for all that was asked for; more than that is of no use.
                    drop(asker.try_send(message));
                }
            }
        });
        Ok(Self { inbox, next: AtomicU64::new(0), waiting, _until_dropped: until_dropped })
    }

    pub(crate) async fn get(
        &self,
        client: &Client,
        subject: &str,
        get: &Get<'_>,
        patience: Duration,
    ) -> Result<Batch, Fault> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (asker, mut answers) = mpsc::channel(get.batch + 2);
        self.waiting.lock().insert(number, asker);
        let _done = Done { waiting: &self.waiting, number };
        let body = serde_json::to_vec(get).map_err(|error| Fault::Garbled(error.to_string()))?;
        let collect = async {
            let inbox = format!("{}.{number}", self.inbox);
            let sent = client.publish_with_reply(subject.to_owned(), inbox, body.into()).await;
            sent.map_err(|error| Fault::Unavailable(error.to_string()))?;
            let mut batch = Batch::default();
            while let Some(message) = answers.recv().await {
                match message.status.map(|status| status.as_u16()) {
                    None => {
                        let stored = Stored::read(&message).ok_or_else(|| garbled(&message))?;
                        batch.messages.push(stored);
                    }
                    Some(204) => {
                        let pending = header(&message, "Nats-Num-Pending").and_then(|text| text.parse().ok());
                        batch.pending = pending.ok_or_else(|| garbled(&message))?;
                        return Ok(batch);
                    }
                    Some(404) => return Ok(batch),
                    Some(503) => return Err(Fault::Unavailable("no replica answers".to_owned())),
                    Some(status) => {
                        let text = message.description.unwrap_or_default();
                        return Err(Fault::Refused { code: u64::from(status), text });
                    }
                }
            }
            Err(Fault::Unavailable("the connection is closed".to_owned()))
        };
        let late = |_| Fault::Unavailable("a read took too long".to_owned());
        tokio::time::timeout(patience, collect).await.map_err(late)?
    }
}

fn garbled(message: &Message) -> Fault {
    Fault::Garbled(format!("an answer on {}", message.subject))
}

/// Ends the wait for answers.
struct Done<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.number);
    }
}
