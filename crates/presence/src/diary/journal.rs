//! The stays that are under way, on the disk: what must be ended when the process was killed.

use std::path::Path;
use std::sync::Arc;

use fanfare_bus::Happening;
use fanfare_model::{Tenant, Timestamp, Topic, TopicKey};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};

use super::note::{Doubt, Note, Stay};
use crate::member::Member;

/// Bytes of fjall's cache: what is under way is written and hardly ever read.
const CACHE_BYTES: u64 = 1 << 20;
/// Bytes of fjall's own journals: they are read again at the next start.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// How far a stay has come in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Its beginning is being written: it may be in the log.
    Beginning,
    /// Its beginning is in the log.
    Begun,
    /// Its end is being written: it may be in the log.
    Ending,
}

/// A stay as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) progress: Stage,
    /// When it came that far.
    pub(super) at: Timestamp,
    /// The number of the note that says so: what is in doubt was to be appended in this order.
    pub(super) number: u64,
    /// Whose it is; `None`: the topic's own.
    pub(super) member: Option<Arc<Member>>,
}

/// A stay that was under way when the process ended.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) topic: TopicKey,
    pub(super) stay: Stay,
    pub(super) record: Record,
}

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the journal of presence cannot be read or written")]
    Store(#[from] fjall::Error),
    #[error("the directory of the journal of presence cannot be made")]
    Directory(#[source] std::io::Error),
    #[error("the journal of presence is damaged")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Tenant, topic, stay → [`Record`]. Every call blocks on the disk.
#[derive(Clone)]
pub(super) struct Journal {
    database: Database,
    stays: Keyspace,
}

impl Journal {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(path).map_err(Fault::Directory)?;
        let builder = Database::builder(path).worker_threads(1);
        let database = builder.cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES_MAX).open()?;
        let stays = database.keyspace("stays", KeyspaceCreateOptions::default)?;
        Ok(Self { database, stays })
    }

    /// What an earlier process has left, by topic.
    pub(super) fn left(&self) -> Result<Vec<Left>, Fault> {
        let mut left = Vec::new();
        for entry in self.stays.iter() {
            let (key, value) = entry.into_inner()?;
            let damaged = |error: Box<dyn std::error::Error + Send + Sync>| Fault::Damaged(error);
            let (topic, stay) = read_key(&key).map_err(damaged)?;
            let record = serde_json::from_slice(&value).map_err(|error| Fault::Damaged(Box::new(error)))?;
            left.push(Left { topic, stay, record });
        }
        Ok(left)
    }

    /// Says that these, each of another stay, are about to be logged. `survives_machine`: even if the machine loses power, as the log itself.
    pub(super) fn begin(&self, notes: &[Note], survives_machine: bool) -> Result<(), Fault> {
        let mode = if survives_machine { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for note in notes {
            let progress = if note.begins() { Stage::Beginning } else { Stage::Ending };
            batch.insert(&self.stays, key(note), value(note, progress));
        }
        Ok(batch.commit()?)
    }

    /// Says that these have been logged.
    pub(super) fn done(&self, notes: &[Note]) -> Result<(), Fault> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for note in notes {
            if note.begins() {
                batch.insert(&self.stays, key(note), value(note, Stage::Begun));
            } else {
                batch.remove(&self.stays, key(note));
            }
        }
        Ok(batch.commit()?)
    }
}

fn key(note: &Note) -> Vec<u8> {
    // No name has a NUL.
    [note.topic.tenant.as_str(), note.topic.topic.as_str(), &note.stay].join("\0").into_bytes()
}

fn read_key(key: &[u8]) -> Result<(TopicKey, Stay), Box<dyn std::error::Error + Send + Sync>> {
    let mut parts = std::str::from_utf8(key)?.splitn(3, '\0');
    let mut part = || parts.next().ok_or("a key has too few parts");
    Ok((TopicKey::new(Tenant::new(part()?)?, Topic::new(part()?)?), Arc::from(part()?)))
}

fn value(note: &Note, progress: Stage) -> Vec<u8> {
    let number = note.number.unwrap_or_default();
    let record = Record { progress, at: note.at, number, member: note.member.clone() };
    serde_json::to_vec(&record).expect("it is made of what JSON can say")
}

impl Left {
    /// What may be in the log or not, if anything may.
    pub(super) fn doubtful(&self) -> Option<Note> {
        match self.record.progress {
            Stage::Beginning => {
                let happening = if self.record.member.is_some() { Happening::Join } else { Happening::Occupied };
                Some(self.note(happening, self.record.at))
            }
            Stage::Begun => None,
            Stage::Ending => Some(self.end(self.record.at)),
        }
        .map(|note| Note { number: Some(self.record.number), ..note })
    }

    pub(super) fn end(&self, at: Timestamp) -> Note {
        self.note(if self.record.member.is_some() { Happening::Leave } else { Happening::Vacated }, at)
    }

    fn note(&self, happening: Happening, at: Timestamp) -> Note {
        let (topic, stay, member) = (self.topic.clone(), Arc::clone(&self.stay), self.record.member.clone());
        Note { topic, happening, stay, member, at, number: None, origin: None, doubt: Doubt::None }
    }
}
