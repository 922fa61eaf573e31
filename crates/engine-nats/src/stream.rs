//! Streams: made and brought to their configuration at start, and asked how they are.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Fault, code};
use crate::gets;
use crate::link::Link;
use crate::metrics::Operation;

/// What a stream is to be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// The subjects it stores.
    pub(crate) subject: String,
    /// Where it announces what it stored: source and destination.
    pub(crate) republish: Option<(String, String)>,
    /// Kept in memory only.
    pub(crate) in_memory: bool,
    pub(crate) replicas: u8,
    /// The most messages of one subject; all if `None`.
    pub(crate) per_subject_max: Option<u64>,
    pub(crate) age_max: Option<Duration>,
    pub(crate) bytes_max: Option<u64>,
    /// For how long ids of messages are remembered.
    pub(crate) window: Duration,
    /// Whether a message may have a time to live.
    pub(crate) has_ttl: bool,
    /// Whether places of a stream that is made anew are beyond all of the one before, so that none comes twice.
    pub(crate) is_ever_growing: bool,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Wanted {
    /// A stream of small records, the last of each subject.
    pub(crate) fn records(name: String, subject: String, replicas: u8) -> Self {
        Self {
            name,
            subject,
            republish: None,
            in_memory: false,
            replicas,
            per_subject_max: Some(1),
            age_max: None,
            bytes_max: None,
            window: Duration::from_secs(120),
            has_ttl: false,
            is_ever_growing: true,
        }
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = json!({
            "name": self.name,
            "subjects": [self.subject],
            "retention": "limits",
            "discard": "old",
            "storage": if self.in_memory { "memory" } else { "file" },
            "num_replicas": self.replicas,
            "max_msgs_per_subject": self.per_subject_max.map_or(-1, u64::cast_signed),
            "max_age": self.age_max.map_or(0, nanos),
            "duplicate_window": nanos(self.age_max.map_or(self.window, |age| age.min(self.window))),
            "allow_direct": true,
            "allow_msg_ttl": self.has_ttl,
            "deny_delete": false,
            "deny_purge": false,
        });
        if let Some(bytes_max) = self.bytes_max {
            config["max_bytes"] = json!(bytes_max);
        }
        if let Some((src, dest)) = &self.republish {
            config["republish"] = json!({ "src": src, "dest": dest });
        }
        match config {
            Value::Object(config) => config,
            _ => Map::new(),
        }
    }
}

/// How a stream is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Info {
    config: Value,
    /// When it was made: with its name, what tells one life of it from the next.
    pub(crate) created: String,
    pub(crate) state: State,
    /// The server's time.
    ts: String,
    /// How many subjects there are in all, if asked for.
    #[serde(default)]
    total: usize,
}

/// What a stream holds.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct State {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// Subjects and how many messages they have, if asked for.
    #[serde(default)]
    pub(crate) subjects: Option<std::collections::BTreeMap<String, u64>>,
}

impl Info {
    /// Everything at or after this is still there, but for what its own subject's limit removed: time and the limits of the
    /// stream have removed nothing of it. The first message that was ever stored is 1.
    pub(crate) fn horizon(&self) -> u64 {
        let number = |field: &str| self.config.get(field).and_then(Value::as_i64).unwrap_or(0);
        let bounded = number("max_bytes") > 0 || number("max_msgs") > 0;
        let age = u64::try_from(number("max_age")).unwrap_or(0);
        let lived = match (gets::time(&self.ts), gets::time(&self.created)) {
            (Some(now), Some(created)) => now.since(created),
            _ => Duration::MAX,
        };
        if bounded || age > 0 && lived >= Duration::from_nanos(age) { self.state.first_seq.max(1) } else { 1 }
    }
}

/// Asks the leader of a stream how it is. Whatever that leader has acknowledged before is in the answer.
pub(crate) async fn info(link: &Link, name: &str) -> Result<Info, Fault> {
    let info: Info = link.call(Operation::Info, &format!("STREAM.INFO.{name}"), &Value::Null).await?;
    if let Some(now) = gets::time(&info.ts) {
        link.learn_time(now);
    }
    Ok(info)
}

/// The subjects of a stream that match `filter`, and how many messages each has.
pub(crate) async fn subjects(link: &Link, name: &str, filter: &str) -> Result<Vec<(String, u64)>, Fault> {
    let mut found: Vec<(String, u64)> = Vec::new();
    loop {
        let body = json!({ "subjects_filter": filter, "offset": found.len() });
        let info: Info = link.call(Operation::Info, &format!("STREAM.INFO.{name}"), &body).await?;
        match info.state.subjects {
            Some(page) if !page.is_empty() => found.extend(page),
            _ => return Ok(found),
        }
        if found.len() >= info.total {
            return Ok(found);
        }
    }
}

/// Removes what a stream has of `subject` before `seq`.
pub(crate) async fn purge(link: &Link, name: &str, subject: &str, seq: u64) -> Result<(), Fault> {
    let body = json!({ "filter": subject, "seq": seq });
    link.call::<Value>(Operation::Change, &format!("STREAM.PURGE.{name}"), &body).await.map(drop)
}

/// Removes one message. `false` if it is not there any more.
pub(crate) async fn delete(link: &Link, name: &str, seq: u64) -> Result<bool, Fault> {
    let body = json!({ "seq": seq, "no_erase": true });
    match link.call::<Value>(Operation::Change, &format!("STREAM.MSG.DELETE.{name}"), &body).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.is(code::NO_MESSAGE) || fault.is(code::NOT_DELETED) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// How the stream is, which is made if it is not there.
pub(crate) async fn there(link: &Link, wanted: &Wanted) -> Result<Info, Fault> {
    let name = &wanted.name;
    match info(link, name).await {
        Err(fault) if fault.is(code::NO_STREAM) => {}
        found => return found,
    }
    let mut config = wanted.config();
    if wanted.is_ever_growing {
        // A microsecond is less than it takes to store a message.
        config.insert("first_seq".to_owned(), json!(u64::try_from(link.now().as_micros()).unwrap_or(1).max(1)));
    }
    match link.call(Operation::Change, &format!("STREAM.CREATE.{name}"), &config).await {
        // Another node was faster.
        Err(refused @ Fault::Refused { .. }) => info(link, name).await.map_err(|_| refused),
        made => made,
    }
}

/// Makes the stream if it is not there, and brings its limits to what is wanted.
async fn ensure(link: &Link, wanted: &Wanted) -> Result<Info, Fault> {
    let found = there(link, wanted).await?;
    let config = wanted.config();
    // A server leaves out what is off.
    let off = |value: &Value| *value == json!(false) || *value == json!(0);
    let differs = config.iter().any(|(key, value)| match found.config.get(key) {
        None => !off(value),
        Some(there) => there != value,
    });
    if !differs {
        return Ok(found);
    }
    let name = &wanted.name;
    let Value::Object(mut whole) = found.config else {
        return Err(Fault::Garbled("a stream's configuration".to_owned()));
    };
    tracing::info!(stream = name, "stream brought to its configuration");
    whole.extend(config);
    link.call(Operation::Change, &format!("STREAM.UPDATE.{name}"), &whole).await
}

/// [`ensure`] at start: what goes wrong is the operator's to mend.
pub(crate) async fn open(link: &Link, wanted: &Wanted) -> Result<Info, Error> {
    ensure(link, wanted).await.map_err(|fault| match fault {
        Fault::Unavailable(_) => Error::Unreachable(Box::new(fault)),
        fault => Error::Unfit(format!(
            "the stream {:?} cannot be made or changed as it has to be: {fault}. Check the limits of the account and the \
             number of servers (engine.nats.replicas = {}), or remove the stream if nothing in it is needed",
            wanted.name, wanted.replicas
        )),
    })
}

/// What a stream's acknowledgement says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Ack {
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

/// The life that a stream is in, as the epoch of its topics: of its name and when it was made.
pub(crate) fn epoch(name: &str, created: &str) -> fanfare_model::Epoch {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{name}\n{created}").as_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "an epoch has 32 bits")]
    let number = hash as u32;
    // Not zero, whatever the hash is.
    fanfare_model::Epoch::from_u32(number.max(1)).unwrap_or_else(fanfare_model::Epoch::generate)
}
