//! Where the embedded log is and what it may use.

use std::path::PathBuf;

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the embedded log is kept and what it may use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The directory of the store, made if it is not there. It must hold nothing else. Set by the owner, from
    /// `engine.path`. Default `./data`.
    #[serde(skip)]
    pub path: PathBuf,
    /// The most bytes an event may have. Default 16 MiB: an event is copied to every reader, so that what is
    /// larger belongs in a file store, with a link to it in the event.
    pub event_bytes_max: ByteSize,
    /// How many events may wait for the writer; beyond it appends are refused as overloaded. Default 65536: a
    /// second of work of a fast disk, so that whoever waits is still answered before it gives up.
    pub queue_events_max: usize,
    /// How many bytes of events may wait for the writer. Default 64 MiB: the same second in bytes.
    pub queue_bytes_max: ByteSize,
    /// How many events are stored by one write at most. Default 4096: one `fdatasync` costs as much as writing
    /// some hundreds of events, so that more than this gains nothing and delays the first of them.
    pub group_events_max: usize,
    /// How many bytes of events are stored by one write at most. Default 8 MiB, for the same reason.
    pub group_bytes_max: ByteSize,
    /// Threads that read. Default 4: reads wait for the disk more than they compute.
    pub read_threads: usize,
    /// How many reads may wait for a thread; beyond it they are refused as overloaded. Default 4096: a
    /// reconnect of every topic of a busy node, a hundred bytes each.
    pub read_queue_max: usize,
    /// Topics whose heads the writer keeps in memory; others are loaded from the store when they are appended
    /// to. Default 100000: about 30 MB.
    pub topics_cached_max: usize,
    /// Memory for blocks read from the disk. Default 64 MiB: the recent part of a busy store.
    pub cache_bytes: ByteSize,
    /// Memory for recent events, which are in the write-ahead log and not yet moved to the store. Half of it may be
    /// filled before they are moved; when all of it is, appends wait for that. Default 128 MiB: a second of what one
    /// core takes, so that what lives only so long is never moved.
    pub memory_bytes_max: ByteSize,
    /// How long events stay in memory at most before they are moved to the store. Default 60s: an idle node
    /// holds nothing, and a topic with an event now and then gets pages of several.
    pub move_every: Duration,
    /// The most bytes of journals that are kept, and so replayed after a crash; at least 128 MiB: two files of the
    /// write-ahead log and the store's own journal, which gets a half. Default 256 MiB: a start of about a second.
    pub journal_bytes_max: ByteSize,
    /// How long the writer waits after a failure (a full disk) before it tries again; until then appends are
    /// refused at once. Default 1s: soon enough for a person who has just freed space, rare enough to not
    /// burden a sick disk.
    pub retry_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data"),
            event_bytes_max: ByteSize::mib(16),
            queue_events_max: 65_536,
            queue_bytes_max: ByteSize::mib(64),
            group_events_max: 4096,
            group_bytes_max: ByteSize::mib(8),
            read_threads: 4,
            read_queue_max: 4096,
            topics_cached_max: 100_000,
            cache_bytes: ByteSize::mib(64),
            memory_bytes_max: ByteSize::mib(128),
            move_every: Duration::from_secs(60),
            journal_bytes_max: ByteSize::mib(256),
            retry_every: Duration::from_secs(1),
        }
    }
}

/// The store's keys and values have 32-bit lengths, and an event has some bytes of its own.
const EVENT_BYTES_LIMIT: ByteSize = ByteSize::mib(1024);
/// Twice fjall's own minimum, because it gets a half.
const JOURNAL_BYTES_MIN: ByteSize = ByteSize::mib(128);

impl Options {
    /// The defaults, in this directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// A file of the write-ahead log is left for the next one when it has so many bytes.
    pub(super) fn wal_file_bytes_max(&self) -> u64 {
        self.journal_bytes_max.0 / 4
    }

    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if self.path.as_os_str().is_empty() {
            return Err("path is empty; name the directory of the store, e.g. \"./data\"".to_owned());
        }
        for (key, value) in [
            ("event_bytes_max", self.event_bytes_max.0),
            ("queue_events_max", self.queue_events_max as u64),
            ("queue_bytes_max", self.queue_bytes_max.0),
            ("group_events_max", self.group_events_max as u64),
            ("group_bytes_max", self.group_bytes_max.0),
            ("read_threads", self.read_threads as u64),
            ("read_queue_max", self.read_queue_max as u64),
            ("topics_cached_max", self.topics_cached_max as u64),
            ("memory_bytes_max", self.memory_bytes_max.0),
        ] {
            if value == 0 {
                return Err(format!("{key} is 0, so that nothing could pass; set it to at least 1"));
            }
        }
        if self.event_bytes_max > EVENT_BYTES_LIMIT {
            return Err(format!("event_bytes_max is {}; set it to at most {EVENT_BYTES_LIMIT}", self.event_bytes_max));
        }
        if self.event_bytes_max > self.queue_bytes_max {
            return Err(format!(
                "queue_bytes_max ({}) is less than event_bytes_max ({}), so that the largest event could never \
                 wait; raise queue_bytes_max or lower event_bytes_max",
                self.queue_bytes_max, self.event_bytes_max
            ));
        }
        if self.journal_bytes_max < JOURNAL_BYTES_MIN {
            return Err(format!(
                "journal_bytes_max is {}; set it to at least {JOURNAL_BYTES_MIN}",
                self.journal_bytes_max
            ));
        }
        Ok(())
    }
}
